use expect_test::{Expect, expect};

use super::*;

fn check(text: &str, expected: Expect) {
    let arguments = BTreeMap::from([("GIVEN".to_owned(), "given".to_owned())]);
    let shown = match parse(text, &arguments) {
        Ok(steps) => {
            steps.iter().map(|step| format!("{} {:?}", step.line, step.instruction)).collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn instructions_are_read_with_their_lines() {
    check(
        "# syntax=anything\nARG BASE=scratch\nFROM $BASE as only\n\nENV A=1 B=\"two words\" \\\n  # in between\n  C=${A}x\n\
         ENV OLD form of it\nWORKDIR /srv/${A}\nCOPY --chown=10:20 --chmod=755 [\"a b\", \"dir/\"]\nADD *.txt x/ ./\n\
         EXPOSE 80 53/UDP\nLABEL k='v w'\nUSER 1000:1000\nENTRYPOINT [\"/app\", \"$A\"]\nCMD run $A",
        expect![[r#"
            3 From("scratch")
            5 Env([("A", "1"), ("B", "two words"), ("C", "x")])
            8 Env([("OLD", "form of it")])
            9 Workdir("/srv/1")
            10 Copy { sources: ["a b"], destination: "dir/", owner: Some((10, 20)), mode: Some(493) }
            11 Copy { sources: ["*.txt", "x/"], destination: "./", owner: None, mode: None }
            12 Expose(["80/tcp", "53/udp"])
            13 Label([("k", "v w")])
            14 User("1000:1000")
            15 Entrypoint(["/app", "$A"])
            16 Cmd(["/bin/sh", "-c", "run $A"])"#]],
    );
}

#[test]
fn arguments_have_defaults_and_given_values() {
    check(
        "FROM scratch\nARG GIVEN=default\nARG NOT\nENV A=$GIVEN B=${NOT:-d} C=${GIVEN:+yes} D=$NOT",
        expect![[r#"
            1 From("scratch")
            4 Env([("A", "given"), ("B", "d"), ("C", "yes"), ("D", "")])"#]],
    );
}

#[test]
fn what_is_not_supported_is_refused_by_line() {
    let table = [
        ("FROM a\n\nRUN make", "line 3: RUN is not supported: nothing is run while building; copy finished files"),
        ("FROM a\nVOLUME /x", "line 2: VOLUME is not supported"),
        ("FROM a\nFROM b", "line 2: a second FROM: builds of several stages are not supported"),
        ("COPY a b", "line 1: COPY before FROM"),
        ("FROM a\nCOPY a", "line 2: a source and a destination are needed"),
        ("FROM a\nCOPY --from=x a b", "line 2: --from=x is not supported: only --chown and --chmod are"),
        ("FROM a\nCOPY --chown=me a b", "line 2: --chown=me: only numbers and root are supported"),
        ("FROM a\nCOPY --chmod=u+x a b", "line 2: --chmod=u+x is not an octal mode such as 0755"),
        ("FROM a\nCOPY a b c", "line 2: with several sources the destination must be a folder: let it end with /"),
        ("FROM a\nADD http://x/y /y", "line 2: http://x/y: ADD takes local files only"),
        ("FROM a\nADD a.tar.gz /", "line 2: a.tar.gz: unpacking archives is not supported; COPY does not unpack"),
        ("FROM a\nCMD ['x']", "line 2: the list is not valid JSON: use double quotes"),
        ("FROM a\nEXPOSE http", "line 2: \"http\" is not a port such as 80 or 53/udp"),
        ("FROM a\nENV A=\"x", "line 2: a double quote is not closed"),
        ("FROM --platform=x a", "line 1: --platform=x is not supported"),
        ("FROM a\nFROBNICATE x", "line 2: FROBNICATE is not an instruction"),
        ("FROM a\nENV", "line 2: ENV needs an argument"),
        ("# escape=`\nFROM a", "line 1: the escape directive is not supported"),
        ("", "line 1: there is no FROM"),
    ];
    for (text, expected) in table {
        let error = parse(text, &BTreeMap::new()).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn names_and_paths_fit_patterns() {
    let table = [
        ("*.txt", "a.txt", true),
        ("*.txt", "a.txt.bak", false),
        ("a?c", "abc", true),
        ("[a-c]x", "bx", true),
        ("[^a-c]x", "bx", false),
        ("\\*", "*", true),
        ("", "", true),
    ];
    for (pattern, name, expected) in table {
        assert_eq!(glob::matches(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn the_last_fitting_rule_of_dockerignore_decides() {
    let ignore = ignore::Ignore::parse("# comment\ntarget\n**/*.log\n!keep.log\n/docs/*.md\n");
    let table = [
        ("target/debug/a", true),
        ("src/target", false),
        ("a/b/c.log", true),
        ("keep.log", false),
        ("docs/a.md", true),
        ("docs/x/a.md", false),
    ];
    for (path, expected) in table {
        assert_eq!(ignore.excludes(&path.split('/').collect::<Vec<_>>()), expected, "{path}");
    }
}

/// Serves archives made by the test.
struct Archives(PathBuf);

#[async_trait]
impl BaseImages for Archives {
    async fn export(&self, reference: &str, archive: &Path) -> crate::Result<()> {
        let copied = std::fs::copy(self.0.join(reference), archive);
        copied.map(|_| ()).map_err(|_| crate::Error::NotFound { what: "image", name: reference.to_owned() })
    }
}

async fn build_in(folder: &Path, dockerfile: &str, name: &str) -> Result<Vec<u8>, Error> {
    std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    let request = Request {
        context: folder.join("context"),
        dockerfile: folder.join("Dockerfile"),
        name: name.to_owned(),
        arguments: BTreeMap::new(),
        archive: folder.join(name),
    };
    build(&request, &Archives(folder.to_owned())).await?;
    Ok(std::fs::read(&request.archive).unwrap())
}

fn show(folder: &Path, name: &str) -> String {
    let draft = base::read(&folder.join(name)).unwrap();
    let mut lines = vec![serde_json::to_string(&draft.config).unwrap()];
    for layer in &draft.layers {
        for entry in tar::Archive::new(layer.blob.open().unwrap()).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            let (mode, owner) = (header.mode().unwrap(), header.uid().unwrap());
            lines.push(format!("{:o} {owner} {}", mode, entry.path().unwrap().display()));
        }
        lines.push("--".to_owned());
    }
    lines.join("\n")
}

fn context(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let root = folder.join("context");
    for path in ["app", "site/index.html", "site/notes.log", "site/img/a.png"] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, path.to_string_lossy().as_bytes()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    std::fs::set_permissions(root.join("site/img"), std::fs::Permissions::from_mode(0o750)).unwrap();
    std::fs::write(root.join(".dockerignore"), "**/*.log\n").unwrap();
}

#[tokio::test]
async fn files_are_copied_where_docker_would_put_them() {
    let folder = tempfile::tempdir().unwrap();
    context(folder.path());
    let dockerfile = "FROM scratch\nWORKDIR /srv\nCOPY --chmod=755 app /bin/app\nCOPY --chown=7:7 site www\nCOPY a* .\n\
                      ENV PATH=/bin\nCMD [\"app\"]";
    let first = build_in(folder.path(), dockerfile, "first").await.unwrap();
    let again = build_in(folder.path(), dockerfile, "first").await.unwrap();
    assert!(first == again, "the same context gives the same bytes");
    expect![[r#"
        {"Cmd":["app"],"Env":["PATH=/bin"],"WorkingDir":"/srv"}
        755 0 srv
        --
        755 0 bin
        755 0 bin/app
        --
        755 7 srv/www
        750 7 srv/www/img
        644 7 srv/www/img/a.png
        644 7 srv/www/index.html
        --
        644 0 srv/app
        --"#]]
    .assert_eq(&show(folder.path(), "first"));

    build_in(folder.path(), "FROM first\nENTRYPOINT [\"/bin/app\"]\nCOPY app www", "second").await.unwrap();
    let second = show(folder.path(), "second");
    assert!(second.starts_with(r#"{"Entrypoint":["/bin/app"],"Env":["PATH=/bin"],"WorkingDir":"/srv"}"#), "{second}");
    assert!(second.ends_with("--\n644 0 srv/www/app\n--"), "{second}");
}

#[tokio::test]
async fn errors_name_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    context(folder.path());
    let file = folder.path().join("Dockerfile").display().to_string();
    let table = [
        (
            "FROM scratch\nCOPY missing /",
            "2: missing: no such file in the build context, or .dockerignore leaves it out",
        ),
        ("FROM scratch\nCOPY ../x /", "2: ../x leads out of the build context"),
        (
            "FROM scratch\nCOPY site/notes.log /",
            "2: site/notes.log: no such file in the build context, or .dockerignore leaves it out",
        ),
        ("FROM none", "1: image none does not exist; base images must be on the machine: `portolan image load`"),
        ("FROM scratch\nRUN x", "2: RUN is not supported: nothing is run while building; copy finished files"),
    ];
    for (text, expected) in table {
        let error = build_in(folder.path(), text, "broken").await.expect_err(text);
        assert_eq!(error.to_string(), format!("{file}:{expected}"));
    }
}
