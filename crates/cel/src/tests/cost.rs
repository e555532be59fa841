use super::{environment, object, schema};
use crate::{Budget, EvaluationError, Value};

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
