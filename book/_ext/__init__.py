"""The book's own machinery: how chapters run, and the Sphinx extensions that make its pages."""
