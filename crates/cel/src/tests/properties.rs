use proptest::prelude::*;

use super::{environment, object, schema};
use crate::{Budget, Value};

/// Compiles a text and, if it is an expression, evaluates it. Neither may panic or run away.
fn survives(text: &str) {
    let environment = environment();
    match environment.compile(text) {
        Ok(program) => {
            let object = object();
            let bindings = [("object", Value::any(&object)), ("self", Value::of(&object, &schema()))];
            let mut budget = Budget::new(100_000);
            let _ = program.evaluate(&bindings, &mut budget);
            let estimate = program.estimate(&environment);
            assert!(estimate.min <= estimate.max, "{text}: {estimate:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("self"),
        Just("object"),
        Just(".spec"),
        Just(".replicas"),
        Just(".tags"),
        Just(".name"),
        Just(".?limits"),
        Just("1"),
        Just("2u"),
        Just("1.5"),
        Just("-9223372036854775808"),
        Just("'a'"),
        Just("'é\\n'"),
        Just("b'x'"),
        Just("true"),
        Just("null"),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just("("),
        Just(")"),
        Just("[0]"),
        Just(","),
        Just(":"),
        Just("?"),
        Just("+"),
        Just("-"),
        Just("*"),
        Just("/"),
        Just("%"),
        Just("=="),
        Just("<"),
        Just("&&"),
        Just("||"),
        Just("!"),
        Just(" in "),
        Just(".all(x, x"),
        Just(".map(x, x"),
        Just(".filter(x, x"),
        Just(".exists(i, x, x"),
        Just("x"),
        Just("has("),
        Just("size("),
        Just(".matches('a+')"),
        Just(".split('a')"),
        Just("duration('1h')"),
        Just("timestamp('2024-01-01T00:00:00Z')"),
        Just("quantity('1Gi')"),
        Just(".sum()"),
        Just("optional.of("),
        Just(".orValue("),
        Just(".format(["),
        Just("lists.range(3)"),
        Just("ip('::1')"),
        Just(".sort()"),
    ];
    proptest::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_compiles_or_says_why(text in ".{0,80}") {
        survives(&text);
    }

    #[test]
    fn any_words_compile_or_say_why(text in words()) {
        survives(&text);
    }

    #[test]
    fn sums_of_numbers_are_right_or_overflow(left in any::<i64>(), right in any::<i64>()) {
        let text = format!("({left}) + ({right})");
        let program = environment().compile(&text).expect("a sum");
        let bindings: [(&str, Value<'_>); 0] = [];
        let sum = program.evaluate(&bindings, &mut Budget::new(100));
        match left.checked_add(right) {
            Some(expected) => prop_assert!(matches!(sum, Ok(Value::Int(found)) if found == expected)),
            None => prop_assert!(sum.is_err()),
        }
    }

    #[test]
    fn quoted_texts_come_back(text in any::<String>()) {
        let literal = serde_json::to_string(&text).expect("a text");
        // JSON writes what is not a character as a pair of escapes; everything else reads the same here.
        prop_assume!(!literal.contains("\\/"));
        if let Ok(program) = environment().compile(&literal) {
            let bindings: [(&str, Value<'_>); 0] = [];
            let value = program.evaluate(&bindings, &mut Budget::new(100)).expect("a constant");
            prop_assert_eq!(value.as_str(), Some(text.as_str()));
        }
    }
}
