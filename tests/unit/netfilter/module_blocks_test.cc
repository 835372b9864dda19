// Which lines of modprobe's configuration keep a module out, found in folders made for the test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "sipnat/netfilter/probe.h"

namespace sipnat::netfilter {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ModuleBlocks : public ::testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = (std::filesystem::temp_directory_path() / "sipnat-XXXXXX").string();
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        root_ = pattern;
        for (const char* name : {"etc", "usr"}) {
            folders_.push_back(root_ / name);
            std::filesystem::create_directory(folders_.back());
        }
    }
    void TearDown() override { std::filesystem::remove_all(root_); }

    std::filesystem::path write(const std::filesystem::path& name, const std::string& text) {
        std::ofstream(root_ / name) << text;
        return root_ / name;
    }

    [[nodiscard]] std::vector<ModuleBlock> found() const {
        static constexpr std::array<std::string_view, 2> kModules{"nf_nat_sip", "nf_conntrack_sip"};
        return find_module_blocks(folders_, kModules);
    }

    std::filesystem::path root_;
    std::vector<std::filesystem::path> folders_;
};

TEST_F(ModuleBlocks, NamesFileAndLineOfABlacklist) {
    const auto file = write("etc/alg.conf", "# no ALGs\n\nblacklist nf_nat_sip\n");
    EXPECT_THAT(found(), ElementsAre(ModuleBlock{"nf_nat_sip", file, 3, "blacklist nf_nat_sip"}));
}

TEST_F(ModuleBlocks, SeesInstallLinesAndDashes) {
    const auto file =
        write("etc/alg.conf", "  install\tnf-nat-sip /bin/true \r\nblacklist nf-conntrack_sip");
    EXPECT_THAT(
        found(),
        ElementsAre(ModuleBlock{"nf_nat_sip", file, 1, "install\tnf-nat-sip /bin/true"},
                    ModuleBlock{"nf_conntrack_sip", file, 2, "blacklist nf-conntrack_sip"}));
}

TEST_F(ModuleBlocks, JoinsContinuedLines) {
    const auto file = write("usr/alg.conf", "options x \\\n y=1\nblacklist \\\n nf_nat_sip\n");
    EXPECT_THAT(found(), ElementsAre(ModuleBlock{"nf_nat_sip", file, 3, "blacklist   nf_nat_sip"}));
}

TEST_F(ModuleBlocks, PassesOverWhatIsHarmless) {
    write("etc/a.conf",
          "# blacklist nf_nat_sip\nblacklist nf_nat_sip_other\nblacklist nf_nat_ftp\n"
          "options nf_nat_sip x=1\nalias a nf_nat_sip\nblacklist\ninstall\n\\\n");
    write("etc/readme.txt", "blacklist nf_nat_sip\n");
    EXPECT_THAT(found(), IsEmpty());
}

TEST_F(ModuleBlocks, AFileHidesTheSameNameInLaterFolders) {
    write("etc/alg.conf", "");
    write("usr/alg.conf", "blacklist nf_nat_sip\n");
    const auto seen = write("usr/more.conf", "blacklist nf_nat_sip\n");
    EXPECT_THAT(found(), ElementsAre(ModuleBlock{"nf_nat_sip", seen, 1, "blacklist nf_nat_sip"}));
}

TEST_F(ModuleBlocks, FoldersThatAreNotThereAreEmpty) {
    folders_.insert(folders_.begin(), root_ / "nonesuch");
    EXPECT_THAT(found(), IsEmpty());
}

}  // namespace
}  // namespace sipnat::netfilter
