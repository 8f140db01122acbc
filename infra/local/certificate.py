"""Creates a certificate for 127.0.0.1. Each stack with TLS has its own, and only the clients of that stack trust it."""

import datetime
import ipaddress

CERTIFICATE, KEY = "tls.crt", "tls.key"


def for_loopback(folder):
    from cryptography import x509  # not at the top: most stacks have no TLS
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bcce local stack")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]), critical=False)
        # rustls does not accept the certificate of a certificate authority as a server's.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths = folder / CERTIFICATE, folder / KEY
    for path, content in zip(paths, (certificate.public_bytes(pem), private)):
        path.write_bytes(content)
    return paths
