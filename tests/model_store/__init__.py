"""The program that copies models, against servers that speak the protocols of Hugging Face and Cloud Storage."""
