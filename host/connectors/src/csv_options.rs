//! What a table says about CSV, for reading and for writing.

use wasmill_model::{
    fault::Code,
    settings::{Error, Setting, Settings},
};

/// The keys `header`, `delimiter` and `quote`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CsvOptions {
    pub(crate) header: bool,
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { header: true, delimiter: b',', quote: b'"' }
    }
}

impl CsvOptions {
    pub(crate) fn read(settings: &Settings) -> Result<Self, Error> {
        let default = Self::default();
        let header = settings.optional("header", Setting::boolean)?.unwrap_or(default.header);
        let delimiter = settings.optional("delimiter", one_byte)?.unwrap_or(default.delimiter);
        let quote = settings.optional("quote", one_byte)?.unwrap_or(default.quote);
        if delimiter == quote {
            let error = settings.error("`delimiter` and `quote` are the same character");
            return Err(error.coded(Code::JobFileConflict));
        }
        Ok(Self { header, delimiter, quote })
    }
}

fn one_byte(setting: &Setting) -> Result<u8, Error> {
    match setting.string()?.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(*byte),
        _ => Err(setting.error("expected one ASCII character that ends no line, as in \",\" or \"\\t\"")),
    }
}
