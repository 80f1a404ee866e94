//! Help: the keys.

/// Keys, and what they do.
pub(crate) const KEYS: [(&str, &str); 20] = [
    ("1 - 7, Tab", "go from view to view"),
    ("↑ ↓, j k", "go from row to row"),
    ("→, l", "open a row; of an open one go to the first below it"),
    ("←, h", "close a row; go to the one that it is in"),
    ("Home End, g G", "to the first and the last row"),
    ("Page ↑ ↓", "by pages"),
    ("Enter", "who holds this field or holder; else open the row"),
    ("Space", "open or close"),
    ("r", "Retainers: who holds the selected object"),
    ("d", "Dominators: what the selected object keeps alive"),
    ("/", "filter by class or text; in Search: name, @id, /regex/, query"),
    ("f", "which objects, compared with what, which strings"),
    ("s S", "sort by the next column; the other way around"),
    ("i I", "in Retainers: as if this did not hold it; count all again"),
    ("b, Backspace", "back to where you were"),
    ("Esc", "leave a filter; else back"),
    ("click, wheel", "select a row, open it with a second click; scroll"),
    ("Ctrl-L", "draw anew"),
    ("?", "this help"),
    ("q, Ctrl-C", "quit"),
];
