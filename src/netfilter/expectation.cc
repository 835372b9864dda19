#include "sipnat/netfilter/expectation.h"

#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "netfilter/expectation_codec.h"
#include "netfilter/socket.h"
#include "sipnat/netfilter/helper.h"

namespace sipnat::netfilter {
namespace {

constexpr int kReceiveBuffer = 1 << 20;

tl::unexpected<Error> refused(const Expectation& expectation, int code) {
    std::string cause = errno_text(code);
    if (code == EINVAL && expectation.translates) {
        cause += " (the kernel has no expectation function \"sip\": load nf_nat_sip)";
    }
    return fail("create expectation", expectation.match.text(), std::move(cause), code);
}

bool same_object(const Expectation& here, const Expectation& there) {
    return here.match.transport == there.match.transport &&
           here.match.destination == there.match.destination &&
           here.match.source.port == there.match.source.port &&
           (here.match.source.address == there.match.source.address ||
            (here.match.source.address.is_unspecified() &&
             there.match.source.address.is_unspecified())) &&
           here.translates == there.translates &&
           (here.master == there.master || !here.translates || here.nat == there.nat);
}

}  // namespace

struct Expectations::Impl {
    explicit Impl(Socket opened) : socket(std::move(opened)) {}

    std::error_code request(std::uint32_t sequence, const Socket::Visit& visit = nullptr) {
        const auto failed = socket.request(message, sequence, visit);
        message.clear();
        return failed;
    }

    Socket socket;
    Buffer message;
};

Expectations::Expectations(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Expectations::Expectations(Expectations&&) noexcept = default;
Expectations& Expectations::operator=(Expectations&&) noexcept = default;
Expectations::~Expectations() = default;

Result<Expectations> Expectations::open() {
    auto socket = Socket::open(NETLINK_NETFILTER);
    if (!socket) {
        return in_context("open expectations", std::move(socket.error()));
    }
    socket->set_receive_buffer(kReceiveBuffer);
    return Expectations(std::make_unique<Impl>(std::move(*socket)));
}

Result<void> Expectations::create(const Expectation& expectation) {
    const auto sequence = impl_->socket.next_sequence();
    encode_create_expectation(impl_->message, sequence, expectation);
    if (const auto failed = impl_->request(sequence)) {
        return refused(expectation, failed.value());
    }
    return {};
}

tl::expected<void, BatchError> Expectations::create_all(std::span<const Expectation> expectations) {
    if (expectations.empty()) {
        return {};
    }
    const std::uint32_t first = impl_->socket.next_sequence();
    for (std::size_t i = 0; i < expectations.size(); ++i) {
        const std::uint32_t sequence = i == 0 ? first : impl_->socket.next_sequence();
        encode_create_expectation(impl_->message, sequence, expectations[i]);
    }
    // What nobody answered for (the socket itself failed) may be there: it counts as created.
    std::vector<int> answers(expectations.size(), 0);
    const auto failed = impl_->socket.request_all(impl_->message, first, answers);
    impl_->message.clear();

    std::size_t bad = 0;
    while (bad < answers.size() && answers[bad] == 0) {
        ++bad;
    }
    if (!failed && bad == answers.size()) {
        return {};
    }
    BatchError error = bad < answers.size()
                           ? BatchError{bad, refused(expectations[bad], answers[bad]).value()}
                           : BatchError{0, refused(expectations[0], failed.value()).value()};
    for (std::size_t i = 0; i < expectations.size(); ++i) {
        if (answers[i] == 0) {
            // Best effort: the first failure is the one to report.
            (void)remove(expectations[i]);
        }
    }
    return tl::unexpected(std::move(error));
}

Result<void> Expectations::renew(std::span<const Expectation> expectations) {
    constexpr std::size_t kBatch = 64;
    Result<void> result;
    for (; !expectations.empty();
         expectations = expectations.subspan(std::min(kBatch, expectations.size()))) {
        const auto batch = expectations.first(std::min(kBatch, expectations.size()));
        const std::uint32_t first = impl_->socket.next_sequence();
        for (std::size_t i = 0; i < batch.size(); ++i) {
            const std::uint32_t sequence = i == 0 ? first : impl_->socket.next_sequence();
            encode_create_expectation(impl_->message, sequence, batch[i], Present::is_renewed);
        }
        std::vector<int> answers(batch.size(), 0);
        const auto failed = impl_->socket.request_all(impl_->message, first, answers);
        impl_->message.clear();
        if (failed) return fail_errno("renew expectations", "", failed.value());
        for (std::size_t i = 0; i < batch.size() && result; ++i) {
            const bool masterless = answers[i] == ENOENT || answers[i] == EOPNOTSUPP;
            if (answers[i] != 0 && !masterless) result = refused(batch[i], answers[i]);
        }
    }
    return result;
}

Result<void> Expectations::remove(const Expectation& expectation) {
    // The kernel removes the first one that covers the tuple, which after ours is gone may be a
    // wider one of another call. So look, compare, and remove by id.
    auto sequence = impl_->socket.next_sequence();
    encode_find_expectation(impl_->message, sequence, expectation.match);
    std::optional<DecodedExpectation> found;
    auto failed = impl_->request(sequence, [&](const nlmsghdr& answer) {
        found = decode_expectation(netfilter_attributes(answer));
    });
    if (!failed && found && same_object(found->expectation, expectation)) {
        sequence = impl_->socket.next_sequence();
        encode_remove_expectation(impl_->message, sequence, expectation.match, found->id);
        failed = impl_->request(sequence);
    }
    if (failed && failed != std::errc::no_such_file_or_directory) {
        return fail_errno("remove expectation", expectation.match.text(), failed.value());
    }
    return {};
}

Result<std::vector<Expectation>> Expectations::dump(Family family) {
    const auto sequence = impl_->socket.next_sequence();
    encode_dump_expectations(impl_->message, sequence, family);
    std::vector<Expectation> ours;
    const auto failed = impl_->request(sequence, [&](const nlmsghdr& answer) {
        const auto found = decode_expectation(netfilter_attributes(answer));
        if (found && (found->helper == kSignallingHelper || found->helper == kMediaHelper)) {
            ours.push_back(found->expectation);
        }
    });
    if (failed) {
        return fail_errno("list expectations", "", failed.value());
    }
    return ours;
}

}  // namespace sipnat::netfilter
