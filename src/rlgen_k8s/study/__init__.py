"""What a study is: its settings, loaded by name, overridden, explained."""
