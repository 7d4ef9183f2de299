"""Results as lines of data, and the tables and figures that documents show, made from them."""
