//! Contract between the template and manifests: the memory of the two functions whose time manifests state.

use bcce_core::batch::platform::RUN_PART_MEMORY_MB;
use bcce_core::run::manifest::platform::INVOKE_MEMORY_MB;

use crate::template::template;

#[test]
fn the_functions_that_wait_have_the_memory_that_manifests_count() {
    let template = template();
    for (function, memory) in
        [("InvokeFunction", INVOKE_MEMORY_MB), ("RunPartFunction", RUN_PART_MEMORY_MB)]
    {
        let found = &template["Resources"][function]["Properties"]["MemorySize"];
        assert_eq!(found, memory, "{function}");
    }
}
