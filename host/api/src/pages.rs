//! The pages of errors, as they stand in the documentation.

use wasmill_model::fault::Code;

macro_rules! pages {
    ($(#[doc = $summary:literal] $code:ident = $name:literal,)+) => {
        /// What has happened, why, and what to do: Markdown.
        pub(crate) const fn page(code: Code) -> &'static str {
            match code {
                $(Code::$code => include_str!(concat!("../../../docs/errors/", $name, ".md")),)+
            }
        }
    };
}

wasmill_model::codes!(pages);
