"""The champion transition: the facts, the rules, the change of alias, tags and ledger in one transaction."""
