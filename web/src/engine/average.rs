//! Adapters of the open model averaged into a new one.

use kindling::adapter::{Adapter, AverageConfig};
use kindling::told::Told;

use super::messages::model::AveragedAdapter;
use super::protocol::Active;
use super::state::{Answer, Engine};

impl Engine {
    /// Averages adapters of the open model, and keeps the mean as a new one, which alone acts then. A name that is taken gets
    /// a number.
    ///
    /// # Errors
    /// Adapters that are not there or have no mean.
    pub async fn average_adapters(
        &self,
        name: &str,
        of: &[String],
        config: &AverageConfig,
    ) -> Result<Answer, Told> {
        let _place = self.choices.enter().await;
        let named: Vec<Active> = of.iter().map(|name| Active { name: name.clone(), strength: 1.0 }).collect();
        self.bring(&named).await?;
        let model = self.opened()?;
        let (all, own) = {
            let held = self.adapters.borrow();
            let (mut all, mut own) = (Vec::new(), None);
            for name in of {
                let Some(found) = held.iter().find(|held| held.about.name == *name) else { continue };
                all.push((name.clone(), found.adapter.clone()));
                own = own.or_else(|| found.tokenizer.clone());
            }
            (all, own)
        };
        let averaged = Adapter::average(&all, config).map_err(Told::from)?;
        let (name, _) = self.hold(&model, name, averaged.adapter, own.as_deref()).await?;
        Answer::new(AveragedAdapter {
            name,
            notes: averaged.remarks.iter().map(Into::into).collect(),
            error: averaged.cut.map(|cut| cut.error),
        })
    }
}
