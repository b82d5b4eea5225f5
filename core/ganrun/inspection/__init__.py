"""What is in somebody's data: counts, faults, duplicates, and the lines of a recipe that read them."""
