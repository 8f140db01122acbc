//! The roles of the stack: takes a permission away, gives it back, and assumes the role.

use aws_credential_types::Credentials;
use bcce_tests::harness::stack::output;
use serde_json::{Value, json};

use crate::signed::{Call, Caller};

pub struct Role {
    /// The logical name in the template.
    pub name: &'static str,
    /// The name of the role on the stack.
    physical: String,
    policy: String,
    document: Value,
}

impl Role {
    /// Finds a role by its logical name.
    pub async fn find(root: &Caller, name: &'static str) -> Self {
        let list = [("Action", "ListRoles"), ("Version", VERSION), ("MaxItems", "1000")];
        let roles = root.call(Call::form("iam", &list)).await;
        let prefix = format!("{}-{name}-", output("BCCE_STACK"));
        let mut named =
            roles.between("<RoleName>", "<").into_iter().filter(|role| role.starts_with(&prefix));
        let physical = named.next().unwrap_or_else(|| panic!("no role {name}")).to_owned();
        // The role has one policy, with the name of its function or machine.
        let policy = kebab(name);
        let get = [
            ("Action", "GetRolePolicy"),
            ("Version", VERSION),
            ("RoleName", &physical),
            ("PolicyName", &policy),
        ];
        let got = root.call(Call::form("iam", &get)).await;
        let document = got.between("<PolicyDocument>", "<")[0];
        let document = form_urlencoded::parse(document.as_bytes()).next().unwrap().0;
        let document = serde_json::from_str(&document).unwrap();
        Self { name, physical, policy, document }
    }

    pub fn arn(&self) -> String {
        format!("arn:aws:iam::000000000000:role/{}", self.physical)
    }

    /// Returns the folder name of the function, or the name of the machine, that has the role.
    pub fn function(&self) -> String {
        self.policy.clone()
    }

    /// Removes an action from a statement of the role's policy.
    pub async fn take_away(&self, root: &Caller, sid: &str, action: &str) {
        let mut document = self.document.clone();
        let statements = document["Statement"].as_array_mut().unwrap();
        let statement = statements.iter_mut().find(|statement| statement["Sid"] == sid).unwrap();
        let actions = match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            one => vec![one.clone()],
        };
        let left: Vec<Value> = actions.iter().filter(|a| *a != action).cloned().collect();
        assert_eq!(left.len() + 1, actions.len(), "{sid} of {} has no {action}", self.name);
        statement["Action"] = json!(left);
        statements.retain(|statement| statement["Action"] != json!([]));
        if statements.is_empty() {
            // A policy must have a statement. This one grants nothing that the stack's functions use.
            let action = "sts:GetCallerIdentity";
            statements.push(json!({ "Effect": "Allow", "Action": action, "Resource": "*" }));
        }
        self.put(root, &self.policy, &document).await;
    }

    /// Restores the policy of the template.
    pub async fn give_back(&self, root: &Caller) {
        self.put(root, &self.policy, &self.document).await;
    }

    /// Adds or replaces a policy of the role.
    pub async fn put(&self, root: &Caller, policy: &str, document: &Value) {
        let document = document.to_string();
        let put = [
            ("Action", "PutRolePolicy"),
            ("Version", VERSION),
            ("RoleName", &self.physical),
            ("PolicyName", policy),
            ("PolicyDocument", &document),
        ];
        let answer = root.call(Call::form("iam", &put)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Assumes the role. The template trusts only a service, so the account is added to the trust policy first.
    pub async fn assume(&self, root: &Caller) -> Caller {
        let trust = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": { "AWS": "arn:aws:iam::000000000000:root" },
        }] });
        let trust = trust.to_string();
        let update = [
            ("Action", "UpdateAssumeRolePolicy"),
            ("Version", VERSION),
            ("RoleName", &self.physical),
            ("PolicyDocument", &trust),
        ];
        let answer = root.call(Call::form("iam", &update)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let arn = self.arn();
        let assume = [
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", &arn),
            ("RoleSessionName", "test"),
        ];
        let answer = root.call(Call::form("sts", &assume)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let of = |tag: &str| answer.between(&format!("<{tag}>"), "<")[0].to_owned();
        let (key, secret) = (of("AccessKeyId"), of("SecretAccessKey"));
        Caller::new(Credentials::new(key, secret, Some(of("SessionToken")), None, "the role"))
    }

    /// Returns true if IAM's policy simulator allows an action on a resource.
    pub async fn may(&self, root: &Caller, action: &str, resource: &str) -> bool {
        let arn = self.arn();
        let simulate = [
            ("Action", "SimulatePrincipalPolicy"),
            ("Version", VERSION),
            ("PolicySourceArn", &arn),
            ("ActionNames.member.1", action),
            ("ResourceArns.member.1", resource),
        ];
        let answer = root.call(Call::form("iam", &simulate)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.between("<EvalDecision>", "<") == ["allowed"]
    }
}

const VERSION: &str = "2010-05-08";

/// Returns the function's name for a role: `persist-artifact` for `PersistArtifactRole`.
pub fn kebab(role: &str) -> String {
    let mut name = String::new();
    for character in role.trim_end_matches("Role").chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(character.to_lowercase());
    }
    name
}
