#include "sipnat/netfilter/events.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "netfilter/conntrack_codec.h"
#include "netfilter/events_codec.h"
#include "netfilter/socket.h"

namespace sipnat::netfilter {

namespace {

/// Of one read().
constexpr int kMostDatagrams = 4096;
/// Some ten thousand flows that end at once.
constexpr int kReceiveBuffer = 4 << 20;

struct Kind {
    int bus;
    std::vector<int> groups;
};

Kind kind_of(Events::Source source) {
    switch (source) {
        case Events::Source::addresses:
            return {NETLINK_ROUTE, {RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR}};
        case Events::Source::ended_flows:
            return {NETLINK_NETFILTER, {NFNLGRP_CONNTRACK_DESTROY}};
        case Events::Source::ruleset:
            break;
    }
    return {NETLINK_NETFILTER, {NFNLGRP_NFTABLES}};
}

}  // namespace

std::optional<FlowTuples> decode_ended_flow(const nlmsghdr& message) {
    if (message.nlmsg_type != message_type(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE)) {
        return std::nullopt;
    }
    const auto decoded = decode_flow(netfilter_attributes(message));
    if (!decoded) return std::nullopt;
    return decoded->flow.tuples;
}

std::optional<std::string_view> decode_removed_from(const nlmsghdr& message) {
    // All three name their table by the attribute of the same number.
    static_assert(int{NFTA_TABLE_NAME} == int{NFTA_CHAIN_TABLE} &&
                  int{NFTA_TABLE_NAME} == int{NFTA_RULE_TABLE});
    switch (message.nlmsg_type) {
        case message_type(NFNL_SUBSYS_NFTABLES, NFT_MSG_DELTABLE):
        case message_type(NFNL_SUBSYS_NFTABLES, NFT_MSG_DELCHAIN):
        case message_type(NFNL_SUBSYS_NFTABLES, NFT_MSG_DELRULE):
            break;
        default:
            return std::nullopt;
    }
    const auto parts = attributes_in<NFTA_TABLE_NAME>(netfilter_attributes(message));
    if (parts[NFTA_TABLE_NAME] == nullptr) return std::nullopt;
    return text_of(parts[NFTA_TABLE_NAME]);
}

struct Events::Impl {
    Impl(Socket opened, Source from) : socket(std::move(opened)), source(from) {}

    void note(const nlmsghdr& message, News& news) const {
        switch (source) {
            case Source::addresses:
                news.any = true;
                break;
            case Source::ended_flows:
                if (auto flow = decode_ended_flow(message)) {
                    news.any = true;
                    news.ended.push_back(*flow);
                }
                break;
            case Source::ruleset:
                if (const auto table = decode_removed_from(message)) {
                    news.any = true;
                    const std::string name(*table);
                    if (news.tables.empty() || news.tables.back() != name) {
                        news.tables.push_back(name);
                    }
                }
                break;
        }
    }

    Socket socket;
    Source source;
};

Events::Events(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Events::Events(Events&&) noexcept = default;
Events& Events::operator=(Events&&) noexcept = default;
Events::~Events() = default;

Result<Events> Events::open(Source source) {
    const auto [bus, groups] = kind_of(source);
    auto socket = Socket::open(bus);
    if (!socket) return in_context("listen to the kernel", std::move(socket.error()));
    socket->set_receive_buffer(kReceiveBuffer);
    for (const int group : groups) {
        if (const auto failed = socket->join(group)) {
            return fail_errno("listen to", "the kernel", failed.value());
        }
    }
    return Events(std::make_unique<Impl>(*std::move(socket), source));
}

int Events::fd() const {
    return impl_->socket.fd();
}

Events::News Events::read() {
    News news;
    for (int i = 0; i < kMostDatagrams; ++i) {
        Bytes rest;
        const auto failed = impl_->socket.receive(rest, MSG_DONTWAIT);
        if (failed == std::errc::resource_unavailable_try_again) break;
        if (failed) {  // ENOBUFS
            news.lost = true;
            continue;
        }
        while (const nlmsghdr* message = next_message(rest))
            impl_->note(*message, news);
    }
    return news;
}

}  // namespace sipnat::netfilter
