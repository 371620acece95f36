"""packager: from a base model and a file of questions and answers to an offline, proven package."""

__version__ = "0.4.0"
