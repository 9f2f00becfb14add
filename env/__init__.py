"""The environment an agent acts in: sessions and their rules, HTTP tools, and the command that wires it all."""
