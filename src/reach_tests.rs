use super::*;
use postroad_client::Trust;
use rcgen::{CertificateParams, KeyPair};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn advertised(text: &str) -> Advertised {
    text.parse().unwrap()
}

/// A certificate for these names and addresses.
fn certificate(names: &[&str]) -> ServerCertificate {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let pair = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = CertificateParams::new(names)
        .unwrap()
        .self_signed(&pair)
        .unwrap();
    std::fs::write(&cert, made.pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    ServerCertificate::load(&cert, &key, None, UnixTime::now()).unwrap()
}

#[test]
fn beyond_this_machine_one_listens_over_tls_or_says_that_one_means_it() {
    for listen in [
        "127.0.0.1:4222",
        "127.8.0.1:0",
        "[::1]:4222",
        "[::ffff:127.0.0.1]:1",
    ] {
        for insecure in [true, false] {
            let decided = in_the_clear(address(listen), insecure).unwrap();
            assert_eq!(decided, Exposure::Machine, "{listen}");
        }
    }
    for listen in [
        "0.0.0.0:4222",
        "[::]:4222",
        "192.0.2.7:4222",
        "[2001:db8::1]:1",
        "[::ffff:0.0.0.0]:1",
    ] {
        let refusal = in_the_clear(address(listen), false).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("listen"), "{listen}");
        assert!(refusal.remedy.contains("--tls-cert") && refusal.remedy.contains("--insecure"));
        assert_eq!(
            in_the_clear(address(listen), true),
            Ok(Exposure::Network),
            "{listen}"
        );
    }
}

#[test]
fn what_is_advertised_is_a_host_with_or_without_a_port() {
    for (text, host, port) in [
        ("road.example.com", "road.example.com", None),
        ("road.example.com:4222", "road.example.com", Some(4222)),
        ("192.0.2.7", "192.0.2.7", None),
        ("192.0.2.7:1", "192.0.2.7", Some(1)),
        ("2001:db8::1", "2001:db8::1", None),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("[2001:db8::1]:99", "2001:db8::1", Some(99)),
    ] {
        let read = advertised(text);
        assert_eq!(
            (read.host.to_str().as_ref(), read.port),
            (host, port),
            "{text}"
        );
    }
    for text in [
        "",
        ":4222",
        "a:",
        "a:0",
        "a:b",
        "a:99999",
        "127.0.0.1:0",
        "a b",
        "nats://a",
        "tls://a:1",
        "*.a.b",
        "a/b",
    ] {
        assert!(text.parse::<Advertised>().is_err(), "{text}");
    }
}

#[test]
fn a_name_is_advertised_only_where_clients_take_the_certificate() {
    let shown = certificate(&["road.test", "*.wild.test", "192.0.2.7"]);
    for name in ["road.test", "a.wild.test:1", "192.0.2.7"] {
        assert_eq!(
            named(advertised(name), Some(&shown)).unwrap(),
            advertised(name)
        );
    }
    for name in ["other.test", "wild.test", "192.0.2.8"] {
        let refusal = named(advertised(name), Some(&shown)).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("advertise"), "{name}");
        assert!(refusal.remedy.contains("road.test"), "{refusal:?}");
        assert_eq!(named(advertised(name), None).unwrap(), advertised(name));
    }
}

#[test]
fn without_a_word_it_is_where_it_listens_or_the_certificates_name_or_the_hosts() {
    let host = |listen: &str, shown: Option<&ServerCertificate>, host_name: &str| {
        found(address(listen), shown, host_name).map(|found| found.host.to_str().into_owned())
    };
    assert_eq!(host("192.0.2.7:1", None, "desk").unwrap(), "192.0.2.7");
    assert_eq!(host("0.0.0.0:1", None, "desk\n").unwrap(), "desk");
    assert_eq!(
        host("[::]:1", None, "").unwrap_err().field.as_deref(),
        Some("advertise")
    );

    let shown = certificate(&["*.wild.test", "road.test", "192.0.2.7"]);
    assert_eq!(
        host("192.0.2.7:1", Some(&shown), "desk").unwrap(),
        "192.0.2.7"
    );
    assert_eq!(
        host("192.0.2.8:1", Some(&shown), "desk").unwrap(),
        "road.test"
    );
    assert_eq!(
        host("0.0.0.0:1", Some(&shown), "desk").unwrap(),
        "road.test"
    );
    let wild = certificate(&["*.wild.test"]);
    assert_eq!(
        host("0.0.0.0:1", Some(&wild), "a.wild.test").unwrap(),
        "a.wild.test"
    );
    let refusal = host("0.0.0.0:1", Some(&wild), "desk").unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("advertise"));
}

#[test]
fn the_context_of_this_machine_pins_the_server_and_that_of_others_trusts_its_authority() {
    let reach = |certificate: Option<ServerCertificate>, advertised: &str| Reach {
        certificate: certificate.map(Arc::new),
        advertised: advertised.parse().unwrap(),
    };
    let plain = reach(None, "127.0.0.1").here("nats://127.0.0.1:4222", 4222);
    let text = String::from_utf8(written(&plain).unwrap()).unwrap();
    assert_eq!(text, "{\"url\":\"nats://127.0.0.1:4222\"}\n");
    let plain = reach(None, "desk:9").here("nats://127.0.0.1:4222", 4222);
    assert_eq!(plain.elsewhere.unwrap().url, "nats://desk:9");

    let tls = reach(Some(certificate(&["road.test"])), "road.test");
    let here = tls.here("tls://127.0.0.1:4222", 4222);
    let own = tls.certificate().unwrap().own_pem();
    assert_eq!(here.trust(), Trust::Exactly(own));
    let elsewhere = *here.elsewhere.unwrap();
    assert_eq!(elsewhere.url, "tls://road.test:4222");
    assert!(matches!(elsewhere.trust(), Trust::Pem(_)));
    assert_eq!(elsewhere.pin_pem, None);
    let six = reach(Some(certificate(&["2001:db8::1"])), "2001:db8::1");
    assert_eq!(six.elsewhere(7).url, "tls://[2001:db8::1]:7");
}
