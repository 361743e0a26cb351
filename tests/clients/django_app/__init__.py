"""An application of Django's that keeps region_index and edits it through the ORM."""
