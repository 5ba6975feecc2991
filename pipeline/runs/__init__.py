"""What a run leaves behind: its folder, its journal and its summary; and how a run is resumed from them."""
