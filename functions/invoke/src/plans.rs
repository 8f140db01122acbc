//! Reads the plan of a run, with a cache.

use std::cell::RefCell;
use std::rc::Rc;

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::io::objects;
use bcce_core::ports::GetObject;
use bcce_core::run::ids::Run;
use bcce_core::run::plan::Plan;

/// The last plan that was read, with its digest. A plan never changes, and the steps of a run often execute in the same
/// instance of the function. Only one plan is kept, because a plan contains the inputs and may have a megabyte.
#[derive(Default)]
pub struct Plans(RefCell<Option<(String, Rc<Plan>)>>);

impl Plans {
    /// Returns the plan of a run.
    ///
    /// # Errors
    /// `Bcce.Internal`: S3 failed, or the stored plan does not have the digest `sha256`.
    pub async fn read(
        &self,
        store: &impl GetObject,
        run: &Run,
        sha256: &str,
    ) -> Result<Rc<Plan>, Fault> {
        if let Some((known, plan)) = self.0.borrow().as_ref()
            && known == sha256
        {
            return Ok(plan.clone());
        }
        let key = run.plan_key();
        let what = "the plan that the run was started with";
        let body = objects::bytes_of(store, &key, sha256, what).await?;
        let plan = Rc::new(parse::<Plan>(&key, &body)?);
        *self.0.borrow_mut() = Some((sha256.to_owned(), plan.clone()));
        Ok(plan)
    }
}
