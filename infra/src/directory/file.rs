//! Reads the organization (people, departments and businesses) from a TOML file. Desks without a
//! directory service use such a file, and tests also use it.
//!
//! With `lists_all_people = true`, a name that is not in the file is no person of the organization.
//! Leaders and people with roles in a business are then also people of the organization.
//! Without this line, the file can name only some people, for example the people with a leader.
//!
//! ```toml
//! lists_all_people = true
//! [[department]]
//! id = "12"
//! name = "运维部"
//! parent = "1"
//! [[person]]
//! name = "lisi"
//! leader = "zhangsan"
//! departments = ["12"]
//! [[business]]
//! id = 2
//! name = "日志平台"
//! roles = { OPS = ["zhangsan"] }
//! ```

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::Deserialize;

use super::{Business, Directory};
use crate::{Error, Kind};

/// The people, departments and businesses from a directory file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(default)]
    lists_all_people: bool,
    #[serde(default)]
    department: Vec<Department>,
    #[serde(default)]
    person: Vec<Person>,
    #[serde(default)]
    business: Vec<BusinessRoles>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Department {
    id: String,
    #[serde(default)]
    #[expect(dead_code, reason = "names are only for the authors of the file")]
    name: String,
    #[serde(default)]
    parent: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    name: String,
    #[serde(default)]
    leader: Option<String>,
    #[serde(default)]
    departments: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BusinessRoles {
    id: i64,
    name: String,
    #[serde(default)]
    roles: BTreeMap<String, Vec<String>>,
}

impl File {
    /// Parses the text of a directory file (a TOML file with people, departments and businesses).
    pub fn read(text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| {
            Error::because(Kind::Misconfigured, "cannot read the directory file", error)
        })
    }
}

#[async_trait]
impl Directory for File {
    async fn has_person(&self, person: &str) -> Result<Option<bool>, Error> {
        if !self.lists_all_people {
            return Ok(None);
        }
        let is_person = self
            .person
            .iter()
            .any(|known| known.name == person || known.leader.as_deref() == Some(person));
        let mut holders = self
            .business
            .iter()
            .flat_map(|business| business.roles.values().flatten());
        Ok(Some(is_person || holders.any(|holder| holder == person)))
    }
    async fn leader(&self, person: &str) -> Result<Option<String>, Error> {
        Ok(self
            .person
            .iter()
            .find(|known| known.name == person)
            .and_then(|known| known.leader.clone()))
    }
    async fn members(&self, department: &str) -> Result<Vec<String>, Error> {
        let mut below = BTreeSet::from([department]);
        // Each pass of the loop adds the direct subdepartments of all departments that were found
        // before. The depth of the tree is at most the number of departments, so the loop finds all
        // subdepartments.
        for _ in 0..self.department.len() {
            let children: Vec<&str> = self
                .department
                .iter()
                .filter(|known| {
                    known
                        .parent
                        .as_deref()
                        .is_some_and(|parent| below.contains(parent))
                })
                .map(|known| known.id.as_str())
                .collect();
            below.extend(children);
        }
        Ok(self
            .person
            .iter()
            .filter(|person| {
                person
                    .departments
                    .iter()
                    .any(|id| below.contains(id.as_str()))
            })
            .map(|person| person.name.clone())
            .collect())
    }
    async fn holders(&self, business: i64, role: &str) -> Result<Vec<String>, Error> {
        Ok(self
            .business
            .iter()
            .find(|known| known.id == business)
            .and_then(|known| known.roles.get(role))
            .cloned()
            .unwrap_or_default())
    }
    async fn businesses(&self) -> Result<Vec<Business>, Error> {
        Ok(self
            .business
            .iter()
            .map(|business| Business {
                id: business.id,
                name: business.name.clone(),
            })
            .collect())
    }
}
