"""YAML fragments of the text that the project began with; tests of config and migrate read them too."""
