"""ELP adapters (Encoder, Layer, Prompt; arXiv 2407.21066) on one frozen speech backbone."""
