//! Reports: pages of HTML that one can look at. A page is one file. It has no script, loads nothing, and is readable on
//! a phone, in the dark, on paper and with a keyboard.

pub mod batch; // the report of a batch
pub mod charges; // the table of what AWS itself takes
pub mod chart; // bars that are drawn to scale
pub mod columns; // columns that are drawn to scale
pub mod cost; // the report of the costs of a period
pub mod file; // writes a page to a file
pub mod page; // the frame of each page: heading, numbers, sections, style
pub mod run; // the report of a run
pub mod seal; // what was verified
