#include "sipnat/netfilter/route.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cerrno>

#include "netfilter/route_codec.h"
#include "netfilter/socket.h"

namespace sipnat::netfilter {

void encode_find_route(Buffer& out, std::uint32_t sequence, const IpAddress& destination) {
    append_message(out, 64, [&](char* place) {
        nlmsghdr* message = begin_message(place, RTM_GETROUTE, NLM_F_ACK, sequence);
        auto* route = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
        route->rtm_family = address_family(destination.family());
        route->rtm_dst_len = static_cast<std::uint8_t>(destination.bytes().size() * 8);
        mnl_attr_put(message, RTA_DST, destination.bytes().size(), destination.bytes().data());
        return message;
    });
}

std::optional<Route> decode_route(const nlmsghdr& message) {
    const std::size_t length = mnl_nlmsg_get_payload_len(&message);
    if (length < sizeof(rtmsg)) {
        return std::nullopt;
    }
    const auto* body = static_cast<const std::uint8_t*>(mnl_nlmsg_get_payload(&message));
    Route route;
    switch (reinterpret_cast<const rtmsg*>(body)->rtm_type) {
        case RTN_UNICAST:
            route.type = RouteType::unicast;
            break;
        case RTN_LOCAL:
            route.type = RouteType::local;
            break;
        case RTN_BROADCAST:
            route.type = RouteType::broadcast;
            break;
        case RTN_ANYCAST:
            route.type = RouteType::local;
            break;
        case RTN_MULTICAST:
            route.type = RouteType::multicast;
            break;
        default:
            return route;
    }
    const auto parts = attributes_in<RTA_OIF>(Bytes(body, length).subspan(sizeof(rtmsg)));
    route.output = static_cast<InterfaceIndex>(host32(parts[RTA_OIF]).value_or(0));
    return route;
}

struct Routes::Impl {
    explicit Impl(Socket opened) : socket(std::move(opened)) {}

    Socket socket;
    Buffer message;
};

Routes::Routes(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Routes::Routes(Routes&&) noexcept = default;
Routes& Routes::operator=(Routes&&) noexcept = default;
Routes::~Routes() = default;

Result<Routes> Routes::open() {
    auto socket = Socket::open(NETLINK_ROUTE);
    if (!socket) {
        return in_context("open routes", std::move(socket.error()));
    }
    return Routes(std::make_unique<Impl>(std::move(*socket)));
}

Result<Route> Routes::lookup(const IpAddress& destination) {
    const auto sequence = impl_->socket.next_sequence();
    impl_->message.clear();
    encode_find_route(impl_->message, sequence, destination);
    std::optional<Route> found;
    const auto failed = impl_->socket.request(
        impl_->message, sequence, [&](const nlmsghdr& answer) { found = decode_route(answer); });
    switch (failed.value()) {
        case 0:
            break;
        // No route, `unreachable`, `prohibit` and `blackhole`, as fib_props has them.
        case ENETUNREACH:
        case EHOSTUNREACH:
        case EACCES:
        case EINVAL:
            return Route{};
        default:
            return fail_errno("find route", destination.text(), failed.value());
    }
    if (!found) {
        return fail("find route", destination.text(), "unreadable answer", EPROTO);
    }
    return *found;
}

}  // namespace sipnat::netfilter
