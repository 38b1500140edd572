"""Measuring epmstore against other tools on real trees: `make bench`. Not part of the product."""
