"""Results: GeoTIFFs, summary, previews, STAC items."""
