"""The bar in a notebook: an anywidget, and a MIME bundle that outlives the kernel."""
