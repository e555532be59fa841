use super::{environment, object, schema};
use crate::{Budget, Estimate, EvaluationError, RULE_ESTIMATE_LIMIT, Value};

fn cost(text: &str) -> u64 {
    let program = environment().compile(text).expect(text);
    let object = object();
    let bindings = [("object", Value::any(&object)), ("self", Value::of(&object, &schema()))];
    let mut budget = Budget::new(1_000_000);
    program.evaluate(&bindings, &mut budget).expect(text);
    1_000_000 - budget.remaining
}

#[test]
fn evaluation_costs_what_it_does_upstream() {
    let cases = [
        ("1", 0),
        ("[1, 2]", 0),
        ("object", 1),
        ("object.spec.replicas", 3),
        ("has(object.spec.replicas)", 2),
        ("object.spec.replicas > 1", 4),
        ("object.spec.replicas == 3 ? true : false", 4),
        ("true && false", 0),
        ("object.spec.name == 'widget'", 4),
        ("[1, 2].all(x, x > 0)", 11),
        ("[1, 2].exists(x, x > 1)", 13),
        ("[1, 2].map(x, x)", 27),
        ("'widget'.startsWith('wid')", 1),
        ("object.spec.name in ['a', 'widget']", 3),
        ("[object]", 11),
        ("{'a': object}", 31),
    ];
    for (text, expected) in cases {
        assert_eq!(cost(text), expected, "{text}");
    }
}

#[test]
fn what_is_too_expensive_is_cancelled() {
    let text = "lists.range(1000).all(x, lists.range(1000).all(y, x + y >= 0))";
    let program = environment().compile(text).expect(text);
    let bindings: [(&str, Value<'_>); 0] = [];
    let mut budget = Budget::new(10_000_000);
    let error = program.evaluate(&bindings, &mut budget).expect_err("a million sums");
    assert_eq!(error, EvaluationError::CostExceeded);
    assert_eq!(error.to_string(), "operation cancelled: actual cost limit exceeded");
    assert!(budget.remaining < 9_000_010, "{budget:?}");
    let cheap = environment().compile("1 + 1 == 2").expect("cheap");
    assert!(cheap.evaluate(&bindings, &mut budget).is_ok());
    assert!(cheap.evaluate(&bindings, &mut Budget::new(0)).is_err());
}

#[test]
fn estimates_follow_the_bounds_of_schemas() {
    let cases = [
        ("true", 0, 0),
        ("self.spec.replicas > 1", 4, 4),
        ("has(self.spec.name)", 2, 2),
        // How long a number is as a text is not known.
        ("string(self.spec.replicas) + 'x' == 'y'", 6, 1_844_674_407_370_955_269),
        // At most ten characters of at most four bytes.
        ("self.spec.name == 'abc'", 3, 4),
        ("self.spec.name.startsWith('abc')", 4, 4),
        ("self.spec.name.matches('^[a-z]+$')", 5, 13),
        ("self.spec.replicas > 1 && self.spec.replicas < 5", 4, 8),
        ("self.spec.replicas > 1 ? self.spec.name == 'a' : true", 4, 8),
        ("[1, 2, 3].all(x, x > 0)", 26, 26),
        ("authorizer.group('').resource('pods').check('get').allowed()", 350_004, 350_004),
    ];
    for (text, min, max) in cases {
        let environment = environment();
        let estimate = environment.compile(text).expect(text).estimate(&environment);
        assert_eq!((estimate.min, estimate.max), (min, max), "{text}");
    }
}

#[test]
fn unbounded_rules_exceed_their_budget() {
    let environment = environment();
    let text = "self.spec.tags.all(t, self.spec.tags.all(u, t == u))";
    let estimate = environment.compile(text).expect(text).estimate(&environment);
    assert_eq!(
        estimate.excess("estimated rule cost", RULE_ESTIMATE_LIMIT).as_deref(),
        Some("estimated rule cost exceeds budget by factor of more than 100x")
    );
    let cheap = Estimate::exactly(12_000_000);
    assert_eq!(
        cheap.excess("estimated rule cost", RULE_ESTIMATE_LIMIT).as_deref(),
        Some("estimated rule cost exceeds budget by factor of 1.200000x")
    );
    assert_eq!(Estimate::exactly(10_000_000).excess("estimated rule cost", RULE_ESTIMATE_LIMIT), None);
}

/// Factors are those of the published API server, for rules of an object.
#[test]
fn estimates_are_upstreams() {
    let text = |max: u64| serde_json::json!({"type": "string", "maxLength": max});
    let whole = serde_json::json!({"type": "object", "properties": {
        "s": {"type": "string"}, "sl": text(20), "l": {"type": "array", "items": {"type": "string"}},
        "lb": {"type": "array", "maxItems": 10, "items": text(10)},
        "ll": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        "b": {"type": "boolean"}, "q": {"x-kubernetes-int-or-string": true},
        "li": {"type": "array", "maxItems": 10, "items": {"type": "integer"}},
        "m": {"type": "object", "additionalProperties": {"type": "string"}},
        "mo": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
        "lo": {"type": "array", "items": {"type": "object", "required": ["k"], "properties": {
            "k": {"type": "string"}, "v": {"type": "integer"}}}},
    }});
    let schema = crate::Schema::of_structural(&whole, crate::Root::No).expect("structural");
    let environment = crate::Environment::new().with("self", schema);
    let mut wrong = Vec::new();
    let cases = [
        ("[[1]].flatten()==[1]", ""),
        ("self.ll.flatten().size()==1", ""),
        ("lists.range(3).size()==3", ""),
        ("self.lb.join(',')==self.s", ""),
        ("url(self.s).getQuery()['a'].all(x,x=='a')", ""),
        ("(self.l+self.l).all(x,x=='a')", ""),
        ("self.lb.all(x, self.s.contains(x))", "1.258298x"),
        ("self.s.split(',').all(x, x=='a')", "1.321205x"),
        ("self.l.all(x, self.l.all(y, x==y))", "more than 100x"),
        ("self.l.distinct().size()==1", "more than 100x"),
        ("self.lb.sort()==self.lb", ""),
        ("self.l.all(x, x=='a')", ""),
        ("self.l.map(x, x+'b').all(y, y=='a')", "more than 100x"),
        ("self.l.filter(x, x.startsWith('a')).exists(x, x.contains('ab'))", "2.1x"),
        ("self.l.join(',')==self.s", "more than 100x"),
        ("self.s.findAll('a').all(x, x=='a')", "1.289748x"),
        ("self.m.all(k, self.m[k]=='a')", ""),
        ("self.l.reverse().all(x, x=='a')", ""),
        ("self.l.slice(0,3).all(x, x=='a')", ""),
        ("self.l.all(x, x in self.lb)", "1.7x"),
        ("self.l.exists(x, x.lowerAscii()=='a' || x.size()>3)", "more than 100x"),
        ("[self.s, self.s].all(x, x.matches('a+'))", ""),
        ("[self.s][0].matches('^a+b+c+d+e+f+g+h+$')", ""),
        ("self.lb.all(x, self.lb.all(y, self.lb.all(z, x==y+z)))", ""),
        ("self.s.replace('a','bbbb').matches('^[a-z]+$')", ""),
        ("self.l.all(x, int(x) > 3)", ""),
        ("self.l.isSorted() && self.l.max() == 'a'", "more than 100x"),
        ("bytes(self.s).size()==1 && string(bytes(self.s))==self.s", ""),
        ("self.lb.all(x, x.matches('^[a-z]+[0-9]*$') && self.s.matches('a'))", ""),
        ("self.li.all(i, self.l.all(x, x.size() > i))", "7.3x"),
        ("self.mo.all(k, self.mo[k].all(x, x=='a'))", "more than 100x"),
        ("self.l.all(i, x, i > 2 && x == 'a')", ""),
        ("self.m.exists(k, v, k == v)", ""),
        ("self.lo.all(x, self.lo.exists(y, y.k == x.k))", "more than 100x"),
        ("self.lo.map(x, x.k).join('-').size() > 3", "more than 100x"),
        ("dyn(self.l).all(x, x == 'a')", ""),
        ("self.q == 5 || self.q.contains('a%b%c%d')", ""),
        ("(self.b ? self.l : self.lb).all(x, x == 'a')", ""),
        ("self.l.all(x, (x + self.s).contains('a'))", "more than 100x"),
        ("self.l.all(x, quantity(x).isGreaterThan(quantity('1')))", "more than 100x"),
        ("self.l.indexOf('a') == 3", "more than 100x"),
        ("self.l.all(x, cidr(x).containsIP('1.2.3.4'))", "more than 100x"),
        ("self.?s.orValue('').matches('^a+b+c+d+$')", "more than 100x"),
        ("self.l.first().value() == 'abc'", ""),
        ("self.l.all(x, strings.quote(x).contains('aaaaaaaaaaaaaa'))", "more than 100x"),
    ];
    for (text, factor) in cases {
        let estimate = environment.compile(text).expect(text).estimate(&environment);
        let excess = estimate.excess("", RULE_ESTIMATE_LIMIT).unwrap_or_default();
        let found = excess.trim_start_matches(" exceeds budget by factor of ");
        if found != factor {
            wrong.push(format!("{text}: {found}, not {factor}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}
