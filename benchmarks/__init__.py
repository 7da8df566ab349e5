"""Measurements that anyone can repeat: material from package registries, figures printed beside chance and floor."""
