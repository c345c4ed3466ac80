"""Tests. A package with this file, as a dependency installs one of the same name, which would be found first."""
