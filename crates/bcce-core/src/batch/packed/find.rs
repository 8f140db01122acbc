//! Finds one object in a segment without parsing all of its runs.

use crate::base::error::Fault;
use crate::base::json::parse;
use crate::batch::packed::PackedRun;
use crate::batch::packed::segment::COMMENT;

/// Finds an object of a run in a segment. `key` names the segment in the error, and `object` is the key of the object,
/// with the prefix of the run. Returns `None` if the segment does not have it.
///
/// # Errors
/// Returns `Bcce.Internal` if a line of the run is not what this version writes.
pub fn find_object(
    key: &str,
    body: &[u8],
    run_id: &str,
    object: &str,
) -> Result<Option<Vec<u8>>, Fault> {
    // Most lines are those of other runs, so only a line with the id is parsed.
    let has_id = |line: &&[u8]| line.windows(run_id.len()).any(|part| part == run_id.as_bytes());
    let lines = body.split(|byte| *byte == b'\n');
    for line in lines.filter(|line| line.first() != Some(&COMMENT)).filter(has_id) {
        let packed: PackedRun = parse(key, line)?;
        if packed.run.run_id == run_id
            && let Some(found) = packed.object_at(object)
        {
            return Ok(Some(found.to_vec()));
        }
    }
    Ok(None)
}
