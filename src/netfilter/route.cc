#include "sipnat/netfilter/route.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cerrno>

#include "netfilter/route_codec.h"
#include "netfilter/socket.h"

namespace sipnat::netfilter {

void encode_find_route(Buffer& out, std::uint32_t sequence, const IpAddress& destination) {
    MessageWriter message(out, {RTM_GETROUTE, NLM_F_REQUEST | NLM_F_ACK, sequence});
    // struct rtmsg: family, destination and source prefix lengths, then nine bytes of zeros
    std::array<std::uint8_t, sizeof(rtmsg)> head{};
    head[0] = address_family(destination.family());
    head[1] = static_cast<std::uint8_t>(destination.bytes().size() * 8);
    message.put_raw(head);
    message.put(RTA_DST, destination.bytes());
}

std::optional<Route> decode_route(Bytes body) {
    constexpr std::size_t kTypeOffset = 7;
    if (body.size() < sizeof(rtmsg)) {
        return std::nullopt;
    }
    Route route;
    switch (body[kTypeOffset]) {
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
    const bool whole = for_each_attribute(body.subspan(sizeof(rtmsg)), [&](const Attribute& part) {
        if (part.type == RTA_OIF) {
            route.output = static_cast<InterfaceIndex>(part.host32().value_or(0));
        }
    });
    return whole ? std::optional(route) : std::nullopt;
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
        impl_->message, sequence,
        [&](const MessageView& answer) { found = decode_route(answer.body); });
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
