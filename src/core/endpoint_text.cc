#include "core/endpoint_text.h"

#include <utility>

#include "sipnat/base/ascii.h"

namespace sipnat {

namespace {

constexpr Port kSipPort{5060};
constexpr Port kSipsPort{5061};

std::string joined(std::string host, bool port_written, Port port, Port unwritten) {
    if (!port_written && port == unwritten) return host;
    return std::move(host) + ":" + std::to_string(number(port));
}

}  // namespace

Port default_port(const sip::Uri& uri) {
    return uri.scheme == sip::Scheme::sips ? kSipsPort : kSipPort;
}

Port default_port(const sip::Via& via) {
    return equal_ignoring_case(via.transport, "TLS") ? kSipsPort : kSipPort;
}

bool names_host(const std::optional<HostPort>& text, const IpAddress& address) {
    return text && text->address == address;
}

bool names(const HostPort& text, const Endpoint& endpoint, Port unwritten) {
    return text.address == endpoint.address && text.port.value_or(unwritten) == endpoint.port;
}

bool names(const sip::Uri& uri, const Endpoint& endpoint) {
    return port_of(uri) == endpoint.port && names_host(uri, endpoint.address);
}

bool names_host(const sip::Uri& uri, const IpAddress& address) {
    return uri.host.address == address || names_host(uri.maddr, address);
}

Port port_of(const sip::Uri& uri) {
    return uri.host.port.value_or(default_port(uri));
}

SaidTransport said_transport(const sip::Uri& uri) {
    if (uri.transport.empty()) return SaidTransport::none;
    if (equal_ignoring_case(uri.transport, "udp")) return SaidTransport::udp;
    if (equal_ignoring_case(uri.transport, "tcp")) return SaidTransport::tcp;
    return SaidTransport::other;
}

std::string canonical(const HostPort& text, const Endpoint& endpoint, Port unwritten) {
    const auto& address = endpoint.address;
    const bool brackets = address.family() == Family::ipv6;
    return joined(brackets ? "[" + address.text() + "]" : address.text(), text.port.has_value(),
                  endpoint.port, unwritten);
}

std::string with_port(std::string_view text, const HostPort& host, Port port, Port unwritten) {
    return joined(std::string(host_text(text, host)), host.port.has_value(), port, unwritten);
}

std::string_view host_text(std::string_view text, const HostPort& host) {
    const bool brackets = host.host.offset != host.whole.offset;
    return span_of(host.whole.offset, host.host.end() + (brackets ? 1 : 0)).in(text);
}

bool name_the_same(std::string_view text, const sip::Uri& one, const sip::Uri& other) {
    if (one.scheme != other.scheme || one.user.in(text) != other.user.in(text)) return false;
    if (port_of(one) != port_of(other)) return false;
    if (one.host.address || other.host.address) return one.host.address == other.host.address;
    return equal_ignoring_case(one.host.host.in(text), other.host.host.in(text));
}

}  // namespace sipnat
