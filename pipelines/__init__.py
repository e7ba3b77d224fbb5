"""The life cycle of ELP adapters: intake, validation, versions, training, registry, gate, promotion, audit."""
