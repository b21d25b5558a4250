//! Pieces of SQL that carry their parameters, so that text and values cannot get out of step.

use cairn_store::Value;

/// SQL text with one value for each `?` in it, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fragment {
    pub text: String,
    pub params: Vec<Value>,
}

impl Fragment {
    /// Text without parameters.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), params: Vec::new() }
    }

    /// Text with one `?` and its value.
    pub fn with(text: impl Into<String>, value: Value) -> Self {
        Self { text: text.into(), params: vec![value] }
    }

    /// Appends text.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends a piece with its parameters.
    pub fn append(&mut self, piece: Fragment) {
        self.text.push_str(&piece.text);
        self.params.extend(piece.params);
    }

    /// The piece between two texts.
    pub fn wrapped(mut self, before: &str, after: &str) -> Self {
        self.text.insert_str(0, before);
        self.text.push_str(after);
        self
    }

    /// Several pieces with a word between them, each in parentheses.
    pub fn all(pieces: Vec<Fragment>, word: &str) -> Self {
        let mut whole = Self::default();
        for (n, piece) in pieces.into_iter().enumerate() {
            if n > 0 {
                whole.push(word);
            }
            whole.append(piece.wrapped("(", ")"));
        }
        whole
    }
}
