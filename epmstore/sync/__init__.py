"""What epmstore keeps on remotes: depots, and what goes to them and comes from them."""
