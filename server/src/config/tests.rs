//! Configurations: what is allowed, and how a refusal names the value.

use super::*;

#[test]
fn the_defaults_are_allowed() {
    ServerConfig::default().check("defaults").unwrap();
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    let config = ServerConfig {
        tick_rate: 500,
        ..ServerConfig::default()
    };
    let message = config.check("arena.toml").unwrap_err().to_string();
    assert_eq!(
        message,
        "arena.toml: `tick_rate` is 500, but must be from 10 to 128"
    );
    let config = ServerConfig {
        grace_s: 4_000,
        ..ServerConfig::default()
    };
    assert!(
        config
            .check("arena.toml")
            .unwrap_err()
            .to_string()
            .contains("grace_s")
    );
}

#[test]
fn a_server_that_listens_everywhere_must_say_where_it_is_reached() {
    let (mut config, everywhere) = (ServerConfig::default(), "0.0.0.0:40000".parse().unwrap());
    assert_eq!(config.servers(everywhere), None);
    config.public = vec!["203.0.113.5:40000".parse().unwrap()];
    assert_eq!(config.servers(everywhere), Some(config.public.clone()));
}

#[test]
fn a_page_is_for_this_host_and_wants_a_certificate_that_browsers_take_by_its_hash() {
    let at = |page: &str| ServerConfig {
        page: Some(page.parse().unwrap()),
        quic: Some(QuicSettings::default()),
        ..ServerConfig::default()
    };
    at("127.0.0.1:8080").check("arena.toml").unwrap();
    let certificate = Some("chain.pem".into());
    let with_authority = QuicSettings {
        certificate,
        ..QuicSettings::default()
    };
    for invalid_setting in [
        at("0.0.0.0:8080"),
        ServerConfig {
            quic: None,
            ..at("127.0.0.1:8080")
        },
        ServerConfig {
            quic: Some(with_authority),
            ..at("127.0.0.1:8080")
        },
    ] {
        let message = invalid_setting.check("arena.toml").unwrap_err().to_string();
        assert!(
            message.contains("`page`") && message.contains("on loopback"),
            "{message}"
        );
    }
}

#[test]
fn an_unknown_key_is_named() {
    let error = toml::from_str::<ServerConfig>("tick_rat = 60")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("tick_rat") && error.contains("expected one of"),
        "{error}"
    );
}
