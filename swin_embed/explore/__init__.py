"""A collection as a local page: a map of its images, clusters, duplicates, what stands out."""
