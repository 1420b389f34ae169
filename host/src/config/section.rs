//! The one declaration of a key: [`section!`] makes of it the field, its default, its reader, and
//! what the schema and the reference page say of it.

use super::{key::Key, toml_reader::Table};

/// A table whose keys are declared by [`section!`].
pub(super) trait Section: Default {
    /// What the table is for.
    const ABOUT: &'static str;

    /// All its keys, in the order of the declaration.
    fn keys() -> Vec<Key>;

    /// Takes what the table sets. What it does not set stays as it is.
    fn read(&mut self, table: &Table<'_>);

    /// The keys that differ.
    fn changed(&self, other: &Self) -> Vec<Key>;

    /// Takes the keys that count only from the next start on from what runs.
    fn keep(&mut self, running: &Self);

    /// The keys that count only from the next start on, and their values as `Debug` shows them,
    /// which hides secrets.
    fn fixed(&self) -> Vec<(&'static str, String)>;
}

/// Declares a table of the configuration.
///
/// ```text
/// section! {
///     /// What the table is for.
///     pub struct HttpConfig {
///         /// What the key means: the doc of the field, the description in the schema, and the
///         /// row of the reference page.
///         drain: Duration = Duration::from_secs(30), duration(Duration::ZERO..=HOUR);
///         /// The key is called otherwise than the field.
///         call as "timeout": Duration = MINUTE, duration(MILLISECOND..=DAY) => restart;
///         /// A field that no key sets.
///         image: String = String::new();
///     }
/// }
/// ```
///
/// A field has a type, a default, and the [`Type`](super::types::Type) of what stands in the file.
/// After `=>` come methods of [`Key`].
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $(#[derive($($derive:ident),+)])?
        $visibility:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident $(as $key:literal)?: $type:ty = $default:expr
                $(, $of:expr $(=> $($mark:ident $(($note:expr))?),+)?)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq $($(, $derive)+)?)]
        $visibility struct $name {
            $(
                $(#[doc = $doc])+
                $(#[doc = concat!("\n\nKey: `", $key, "`.")])?
                $visibility $field: $type,
            )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $crate::config::section::Section for $name {
            const ABOUT: &'static str = concat!($($about),+);

            fn keys() -> Vec<$crate::config::key::Key> {
                let default = Self::default();
                let mut keys = Vec::new();
                $($crate::config::section::key!(
                    ($crate::config::section::key_name!($field $($key)?), concat!($($doc),+), $type, &default.$field, keys)
                    $($of $(=> $($mark $(($note))?),+)?)?
                );)+
                keys
            }

            fn read(&mut self, table: &$crate::config::toml_reader::Table<'_>) {
                $($crate::config::section::read_key!(
                    ($crate::config::section::key_name!($field $($key)?), $type, &mut self.$field, table) $($of)?
                );)+
            }

            fn changed(&self, other: &Self) -> Vec<$crate::config::key::Key> {
                let mut same = Vec::new();
                $(if self.$field == other.$field {
                    same.push($crate::config::section::key_name!($field $($key)?));
                })+
                Self::keys().into_iter().filter(|key| !same.contains(&key.name)).collect()
            }

            fn keep(&mut self, running: &Self) {
                $(if $crate::config::section::waits!($($of $(=> $($mark $(($note))?),+)?)?) {
                    self.$field.clone_from(&running.$field);
                })+
            }

            fn fixed(&self) -> Vec<(&'static str, String)> {
                let keys = [$($crate::config::section::waits!($($of $(=> $($mark $(($note))?),+)?)?).then(|| {
                    ($crate::config::section::key_name!($field $($key)?), format!("{:?}", self.$field))
                })),+];
                keys.into_iter().flatten().collect()
            }
        }
    };
}

/// What a key is called: as its field, unless the declaration says otherwise.
macro_rules! key_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

/// Adds a key to a list, if a field has one.
macro_rules! key {
    (($name:expr, $doc:expr, $type:ty, $default:expr, $keys:ident)) => {};
    (($name:expr, $doc:expr, $type:ty, $default:expr, $keys:ident) $of:expr $(=> $($mark:ident $(($note:expr))?),+)?) => {
        let of = $of;
        let default = $crate::config::types::Type::<$type>::write(&of, $default);
        let info = $crate::config::types::Type::<$type>::info(&of);
        $keys.push($crate::config::key::Key::new($name, $doc, info, default)$($(.$mark($($note)?))+)?);
    };
}

/// Whether a key is marked as one that waits for a restart.
macro_rules! waits {
    () => {
        false
    };
    ($of:expr $(=> $($mark:ident $(($note:expr))?),+)?) => {
        false $($(|| $crate::config::section::is_restart!($mark))+)?
    };
}

/// Whether this is that mark.
macro_rules! is_restart {
    (restart) => {
        true
    };
    ($other:ident) => {
        false
    };
}

/// Reads a key into its field, if the field has one and the table sets it.
macro_rules! read_key {
    (($name:expr, $type:ty, $field:expr, $table:ident)) => {};
    (($name:expr, $type:ty, $field:expr, $table:ident) $of:expr) => {
        if let Some(item) = $table.get($name) {
            $crate::config::types::Type::<$type>::read_into(&$of, &item, $field);
        }
    };
}

pub(super) use {is_restart, key, key_name, read_key, section, waits};
