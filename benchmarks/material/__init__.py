"""What is measured on: labelled pictures, sounds and speech from package registries, and contents made here."""
