"""From measurements to maps: the run plan, tile pass, map pass and journal."""
