//! Renders texts up to [`MAX_PROMPT_BYTES`].

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::{Error, ErrorKind, Template, Value};

use crate::base::limits::MAX_PROMPT_BYTES;

/// Renders a template and stops when the text is longer than [`MAX_PROMPT_BYTES`].
pub fn bounded(template: &Template<'_, '_>, values: &Value) -> Result<String, Error> {
    counted(template, values, &AtomicUsize::new(0))
}

/// Renders a template as [`bounded`] does, and adds the bytes that are written to `written` as they are written.
pub fn counted(
    template: &Template<'_, '_>,
    values: &Value,
    written: &AtomicUsize,
) -> Result<String, Error> {
    let mut out = Counted { out: Bounded::default(), written };
    template.render_captured_to(values.clone(), &mut out)?;
    out.out.text()
}

/// A writer that refuses more than [`MAX_PROMPT_BYTES`].
#[derive(Default)]
pub struct Bounded(Vec<u8>);

impl Bounded {
    pub fn text(self) -> Result<String, Error> {
        let no_text = |_| Error::new(ErrorKind::BadSerialization, "gives text that is not UTF-8");
        String::from_utf8(self.0).map_err(no_text)
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_PROMPT_BYTES {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that counts the bytes.
struct Counted<'a> {
    out: Bounded,
    written: &'a AtomicUsize,
}

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written.fetch_add(written, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
