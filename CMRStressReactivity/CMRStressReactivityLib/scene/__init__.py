"""What the module does in the scene: its nodes, and the parts of its panel."""
