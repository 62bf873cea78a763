"""One module for each dataset; the file's name is the dataset's name."""
