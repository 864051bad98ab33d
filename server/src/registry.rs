//! Joins the ECS to the schema: captures each component, snaps it to its grid and restores it.

use bevy_ecs::change_detection::{DetectChanges, DetectChangesMut};
use bevy_ecs::component::{Component, Mutable};
use bevy_ecs::entity::Entity;
use bevy_ecs::world::World;
use thiserror::Error;
use truetick_netcode::mutant::{Mutant, is_planted};
use truetick_netcode::schema::{
    ComponentId, Field, KindId, Priors, Replicate, Schema, SchemaError,
};

/// A value of a component that is out of its field's range. It is an error of the game; clients
/// cannot decode such a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("component `{component}`, field `{field}`: {value} (signed: {signed}) is over {max}", signed = *value as i32)]
pub struct OutOfRange {
    /// Name of the component.
    pub component: &'static str,
    /// Name of the field.
    pub field: &'static str,
    /// The value that the component's `quantise` returned.
    pub value: u32,
    /// The maximum value of the field.
    pub max: u32,
}

/// What [`Registry::capture`] does with a value that is out of its field's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangePolicy {
    /// Panics with the names of component and field and the value. The default with debug
    /// assertions.
    Panic,
    /// Clamps the value to the field's range and reports it. The default without debug assertions.
    Clamp,
}

impl Default for RangePolicy {
    fn default() -> Self {
        if cfg!(debug_assertions) {
            Self::Panic
        } else {
            Self::Clamp
        }
    }
}

/// Operations of the ECS on one component.
#[derive(Clone, Copy, Debug)]
struct Access {
    capture: fn(&mut World, Entity, &mut [u32], RangePolicy, &mut Vec<OutOfRange>),
    is_changed: fn(&World, Entity) -> bool,
    read: fn(&World, Entity, &mut [u32]),
    restore: fn(&mut World, Entity, &[u32]),
}

/// A schema together with access to its components in the ECS.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    schema: Schema,
    components: Vec<Access>,
    range_policy: RangePolicy,
}

impl Registry {
    /// Creates an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a component for replication.
    ///
    /// # Errors
    /// If the schema does not accept the component.
    pub fn add_component<T>(&mut self) -> Result<ComponentId, SchemaError>
    where
        T: Component<Mutability = Mutable> + Replicate + PartialEq,
    {
        let id = self.schema.add_component::<T>()?;
        self.components.push(Access {
            capture: capture::<T>,
            is_changed: is_changed::<T>,
            read: read::<T>,
            restore: restore::<T>,
        });
        Ok(id)
    }

    /// Registers an entity kind by its components.
    ///
    /// # Errors
    /// If the schema does not accept the kind.
    pub fn add_kind(
        &mut self,
        name: &'static str,
        parts: &[ComponentId],
    ) -> Result<KindId, SchemaError> {
        self.schema.add_kind(name, parts)
    }

    /// Sets what the schema expects of its residuals before anything was coded.
    pub fn with_priors(mut self, priors: Priors) -> Self {
        self.schema = self.schema.with_priors(priors);
        self
    }

    /// Sets the policy for values out of range, in any build.
    pub fn with_range_policy(mut self, policy: RangePolicy) -> Self {
        self.range_policy = policy;
        self
    }

    /// The schema of the registered components and kinds.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Writes an entity's fields to `out` and snaps its components to their grid. Every value
    /// written is in its field's range. Values that were out of range are clamped and returned as
    /// they were before.
    ///
    /// # Panics
    /// If a value is out of range and the policy is [`RangePolicy::Panic`].
    pub fn capture(
        &self,
        world: &mut World,
        entity: Entity,
        kind: KindId,
        out: &mut Vec<u32>,
    ) -> Vec<OutOfRange> {
        let mut reports = Vec::new();
        self.for_each_component(kind, out, |access, out| {
            (access.capture)(world, entity, out, self.range_policy, &mut reports);
        });
        reports
    }

    /// Whether any of an entity's components was written since the world's trackers were cleared.
    pub(crate) fn is_changed(&self, world: &World, entity: Entity, kind: KindId) -> bool {
        let mut parts = self.schema.kind(kind).components.iter();
        parts.any(|(id, _)| (self.components[usize::from(id.0)].is_changed)(world, entity))
    }

    /// Writes an entity's fields to `out`, clamped to their ranges, and leaves its components
    /// unchanged.
    pub fn read(&self, world: &World, entity: Entity, kind: KindId, out: &mut Vec<u32>) {
        self.for_each_component(kind, out, |access, out| (access.read)(world, entity, out));
    }

    fn for_each_component(
        &self,
        kind: KindId,
        out: &mut Vec<u32>,
        mut visit: impl FnMut(&Access, &mut [u32]),
    ) {
        let info = self.schema.kind(kind);
        out.clear();
        out.resize(info.fields.len(), 0);
        for (id, start) in &info.components {
            let len = self.schema.component(*id).fields.len();
            visit(
                &self.components[usize::from(id.0)],
                &mut out[*start..start + len],
            );
        }
    }

    /// Gives an entity the components that the field values describe.
    pub fn restore(&self, world: &mut World, entity: Entity, kind: KindId, fields: &[u32]) {
        for (id, start) in &self.schema.kind(kind).components {
            let len = self.schema.component(*id).fields.len();
            (self.components[usize::from(id.0)].restore)(
                world,
                entity,
                &fields[*start..start + len],
            );
        }
    }
}

fn capture<T>(
    world: &mut World,
    entity: Entity,
    out: &mut [u32],
    policy: RangePolicy,
    reports: &mut Vec<OutOfRange>,
) where
    T: Component<Mutability = Mutable> + Replicate + PartialEq,
{
    if let Some(mut component) = world.get_mut::<T>(entity) {
        component.quantise(out);
        if is_planted(Mutant::KeepOutOfRange) {
            return;
        }
        for report in clamp(T::NAME, T::FIELDS, out) {
            assert!(policy == RangePolicy::Clamp, "{report}");
            reports.push(report);
        }
        component.set_if_neq(T::restore(out));
    }
}

/// Clamps each value to its field's range. Returns those that were out of range.
fn clamp<'a>(
    component: &'static str,
    fields: &'static [Field],
    values: &'a mut [u32],
) -> impl Iterator<Item = OutOfRange> + 'a {
    fields.iter().zip(values).filter_map(move |(field, value)| {
        let was = *value;
        *value = field.clamp(was);
        let report = OutOfRange {
            component,
            field: field.name,
            value: was,
            max: field.max,
        };
        (*value != was).then_some(report)
    })
}

fn is_changed<T: Component>(world: &World, entity: Entity) -> bool {
    world
        .get_entity(entity)
        .ok()
        .and_then(|entity| entity.get_ref::<T>())
        .is_some_and(|part| part.is_changed())
}

fn read<T>(world: &World, entity: Entity, out: &mut [u32])
where
    T: Component + Replicate,
{
    if let Some(component) = world.get::<T>(entity) {
        component.quantise(out);
        clamp(T::NAME, T::FIELDS, out).for_each(drop);
    }
}

fn restore<T>(world: &mut World, entity: Entity, fields: &[u32])
where
    T: Component<Mutability = Mutable> + Replicate + PartialEq,
{
    world.entity_mut(entity).insert(T::restore(fields));
}
