//! Expressions in CEL over the claims of a token and the user that they make.
//!
//! Source: `k8s.io/apiserver/pkg/authentication/cel` and `plugin/pkg/authenticator/token/oidc`.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_cel::{Budget, EXPRESSION_LIMIT, Environment, Kind, List, Merge, Program, Schema, Type, Value as Cel};
use serde_json::{Map, Value, json};

const NO_TEXTS: &str = "expression must return a string or a list of strings";

/// What an issuer's claims must be, and what is made of them, beyond what names of claims can say.
#[derive(Debug, Default)]
pub struct Expressions {
    pub(super) username: Option<Expression>,
    pub(super) groups: Option<Expression>,
    pub(super) uid: Option<Expression>,
    /// Keys and their values.
    pub(super) extra: Vec<(String, Expression)>,
    pub(super) claim_rules: Vec<Rule>,
    pub(super) user_rules: Vec<Rule>,
}

/// An expression with a value.
#[derive(Debug)]
pub(super) struct Expression {
    text: String,
    subject: Subject,
    schema: Arc<Schema>,
    program: Program,
}

/// An expression that must be true.
#[derive(Debug)]
pub(super) struct Rule {
    expression: Expression,
    message: String,
}

/// The variable that an expression is about.
#[derive(Debug, Clone, Copy)]
enum Subject {
    Claims,
    User,
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::User => "user",
        }
    }

    fn schema(self) -> Arc<Schema> {
        let map = |values: Arc<Schema>| Arc::new(Schema::new(Kind::Map(values)));
        match self {
            Self::Claims => map(Schema::any()),
            Self::User => {
                let text = Arc::new(Schema::new(Kind::String));
                let texts = Arc::new(Schema::new(Kind::List(text.clone(), Merge::Atomic)));
                let fields =
                    [("username", text.clone()), ("uid", text), ("groups", texts.clone()), ("extra", map(texts))];
                Schema::object("kubernetes.UserInfo", fields)
            }
        }
    }

    fn compile(self, text: &str) -> Result<Expression, String> {
        let schema = self.schema();
        let environment = Environment::new().with(self.name(), schema.clone());
        let program = environment.compile(text).map_err(|error| format!("compilation failed: {error}"))?;
        let program = program.instantiated().map_err(|why| format!("program instantiation failed: {why}"))?;
        Ok(Expression { text: text.to_owned(), subject: self, schema, program })
    }

    fn rule(self, text: &str, message: &str) -> Result<Rule, String> {
        let expression = self.compile(text)?;
        if *expression.program.ty() != Type::Bool {
            return Err("must evaluate to bool".into());
        }
        Ok(Rule { expression, message: message.to_owned() })
    }
}

impl Expression {
    /// An expression over `claims`.
    pub(super) fn of_claims(text: &str) -> Result<Self, String> {
        Subject::Claims.compile(text)
    }

    /// Whether it reads a claim.
    pub(super) fn reads(&self, claim: &str) -> bool {
        portolan_cel::selects(&self.text, "claims", claim)
    }

    /// `value` is what its subject is.
    fn evaluate<'a>(&self, value: &'a Value) -> Result<Cel<'a>, String> {
        let bindings = [(self.subject.name(), Cel::of(value, &self.schema))];
        let outcome = self.program.evaluate(&bindings, &mut Budget::new(EXPRESSION_LIMIT));
        outcome.map_err(|error| format!("expression '{}' resulted in error: {error}", self.text))
    }

    /// The one text that it makes of the claims.
    pub(super) fn text(&self, claims: &Value, what: &str) -> Result<String, String> {
        match self.evaluate(claims) {
            Ok(Cel::String(text)) => Ok(text.to_string()),
            Ok(_) => Err(format!("{what} claim expression must return a string")),
            Err(why) => Err(why),
        }
        .map_err(|why| format!("oidc: error evaluating {what} claim expression: {why}"))
    }

    /// The texts that it makes of the claims, none of them empty.
    pub(super) fn texts(&self, claims: &Value) -> Result<Vec<String>, String> {
        Self::texts_of(self.evaluate(claims)?)
    }

    fn texts_of(value: Cel<'_>) -> Result<Vec<String>, String> {
        let texts = match value {
            Cel::Null => Vec::new(),
            Cel::String(text) => vec![text.to_string()],
            Cel::List(list) => all_texts(&list)?,
            _ => return Err(NO_TEXTS.into()),
        };
        Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }
}

fn make_floating(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(items) => items.iter_mut().for_each(make_floating),
        Value::Object(fields) => fields.values_mut().for_each(make_floating),
        _ => {}
    }
}

fn all_texts(list: &List<'_>) -> Result<Vec<String>, String> {
    let text = |item: Cel<'_>| item.as_str().map(str::to_owned).ok_or_else(|| NO_TEXTS.to_owned());
    list.iter().map(text).collect()
}

impl Rule {
    pub(super) fn of_claims(text: &str, message: &str) -> Result<Self, String> {
        Subject::Claims.rule(text, message)
    }

    pub(super) fn of_user(text: &str, message: &str) -> Result<Self, String> {
        Subject::User.rule(text, message)
    }

    /// Whether it reads a claim.
    pub(super) fn reads(&self, claim: &str) -> bool {
        self.expression.reads(claim)
    }

    fn check(&self, value: &Value) -> Result<(), String> {
        match self.expression.evaluate(value)?.as_bool() {
            Some(true) => Ok(()),
            Some(false) => Err(format!("validation expression '{}' failed: {}", self.expression.text, self.message)),
            None => Err("validation expression must return a boolean".into()),
        }
    }
}

impl Expressions {
    /// The claims as expressions see them: all numbers are floating point ones, as Go reads JSON. Nothing where no
    /// expression looks at them.
    pub(super) fn claims(&self, claims: &Map<String, Value>) -> Value {
        let Self { username, groups, uid, extra, claim_rules, user_rules: _ } = self;
        if username.is_none() && groups.is_none() && uid.is_none() && extra.is_empty() && claim_rules.is_empty() {
            return Value::Null;
        }
        let mut seen = Value::Object(claims.clone());
        make_floating(&mut seen);
        seen
    }

    /// Further facts about the user.
    pub(super) fn extra(&self, claims: &Value) -> Result<BTreeMap<String, Vec<String>>, String> {
        let mut extra = BTreeMap::new();
        for (key, expression) in &self.extra {
            let values = Expression::texts_of(expression.evaluate(claims)?)
                .map_err(|why| format!("oidc: error evaluating extra claim expression: {}: {why}", expression.text))?;
            if !values.is_empty() {
                extra.insert(key.clone(), values);
            }
        }
        Ok(extra)
    }

    /// Whether the claims are as they must be.
    pub(super) fn check_claims(&self, claims: &Value) -> Result<(), String> {
        let mut outcomes = self.claim_rules.iter().map(|rule| rule.check(claims));
        outcomes
            .try_for_each(|it| it)
            .map_err(|why| format!("oidc: error evaluating claim validation expression: {why}"))
    }

    /// Whether the user is as it must be.
    pub(super) fn check_user(
        &self,
        name: &str,
        uid: &str,
        groups: &[String],
        extra: &BTreeMap<String, Vec<String>>,
    ) -> Result<(), String> {
        if self.user_rules.is_empty() {
            return Ok(());
        }
        let user = json!({"username": name, "uid": uid, "groups": groups, "extra": extra});
        let mut outcomes = self.user_rules.iter().map(|rule| rule.check(&user));
        outcomes.try_for_each(|it| it).map_err(|why| format!("oidc: error evaluating user info validation rule: {why}"))
    }
}
