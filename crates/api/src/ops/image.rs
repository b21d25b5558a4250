//! Images.

crate::operations! {
    /// Add an image: download it from a url or open an upload. Ready once its checksum is known.
    AddImage: POST "/images" => "params", cli "image add" {
        /// Name of the image; need not be unique.
        name: String => [max_len(255)];
        /// Description in your own words.
        description: Option<String> => [max_len(2048)];
        /// Where the image comes from: `http://`, `https://`, `ftp://`, `file:///` or `upload://<uuid>`.
        url: String => [max_len(1024)];
        /// What the image is. `RootVolumeTemplate` if absent.
        media_type: Option<String> => [values(&["RootVolumeTemplate", "ISO", "DataVolumeTemplate"])];
        /// Operating system inside, in your own words.
        guest_os_type: Option<String> => [max_len(255)];
        /// The image is for the platform itself, not for users.
        system: bool;
        /// `qcow2`, `raw` or `iso`. Found out from the file if absent.
        format: Option<String> => [once_required];
        /// Sort of operating system inside. `Linux` if absent.
        platform: Option<String> => [values(&["Linux", "Windows", "Other", "Paravirtualization", "WindowsVirtio"])];
        /// Backup storages that shall hold the image.
        backup_storage_uuids: Vec<String> => [required, non_empty, refers("BackupStorageVO")];
        /// Kind of image. There is one kind.
        r#type: Option<String>;
        /// CPU architecture that the image runs on.
        architecture: Option<String> => [max_len(32), values(&["x86_64", "aarch64", "mips64el", "loongarch64"])];
        /// The system inside has virtio drivers.
        virtio: bool => [default("true")];
        /// Uuid that the new image shall have.
        resource_uuid: Option<String> => [new_uuid];
        /// Tags in the form of newer servers.
        tag_uuids: Vec<String> => [ignored];
    } -> job ImageInventory, rbac("image"), tags("ImageVO");

    /// Change what is known about an image.
    UpdateImage: PUT "/images/{uuid}/actions" => "updateImage", cli "image update" {
        /// Image to change.
        uuid: String => [path, refers("ImageVO"), owned, target];
        /// New name; need not be unique.
        name: Option<String> => [max_len(255)];
        /// New description in your own words.
        description: Option<String> => [max_len(2048)];
        /// New operating system inside, in your own words.
        guest_os_type: Option<String> => [max_len(255)];
        /// What the image is.
        media_type: Option<String> => [max_len(255), values(&["RootVolumeTemplate", "DataVolumeTemplate", "ISO"])];
        /// New format; must fit the file.
        format: Option<String> => [max_len(255), values(&["raw", "qcow2", "iso"])];
        /// The image is for the platform itself, not for users.
        system: Option<bool>;
        /// New sort of operating system inside.
        platform: Option<String> => [values(&["Linux", "Windows", "Other", "Paravirtualization", "WindowsVirtio"])];
        /// New CPU architecture that the image runs on.
        architecture: Option<String> => [max_len(32), values(&["x86_64", "aarch64", "mips64el", "loongarch64"])];
        /// The system inside has virtio drivers.
        virtio: Option<bool>;
    } -> job ImageInventory, rbac("image");

    /// Enable or disable an image. No VM is made from a disabled one.
    ChangeImageState: PUT "/images/{uuid}/actions" => "changeImageState", cli "image change-state" {
        /// Image to change.
        uuid: String => [path, refers("ImageVO"), owned, target];
        /// What to do.
        state_event: String => [values(&["enable", "disable"])];
    } -> job ImageInventory, rbac("image");

    /// Delete an image from some or all backup storages. It can be recovered as `image.deletionPolicy` says.
    DeleteImage: DELETE "/images/{uuid}", cli "image delete" {
        /// Image to delete.
        uuid: String => [path, refers("ImageVO"), owned, target];
        /// Backup storages to delete it from; all if absent.
        backup_storage_uuids: Vec<String> => [non_empty, refers("BackupStorageVO")];
        /// `Permissive` lets whatever still uses it refuse; `Enforcing` does not ask.
        delete_mode: String => [values(&["Permissive", "Enforcing"]), default("Permissive")];
    } -> job {}, rbac("image"), missing_ok;

    /// Take back the deletion of an image.
    RecoverImage: PUT "/images/{imageUuid}/actions" => "recoverImage", cli "image recover" {
        /// Image to recover.
        image_uuid: String => [path, refers("ImageVO"), owned, target];
        /// Backup storages to recover it on; all if absent.
        backup_storage_uuids: Vec<String>;
    } -> job ImageInventory, rbac("image");

    /// Remove a deleted image for good.
    ExpungeImage: PUT "/images/{imageUuid}/actions" => "expungeImage", cli "image expunge" {
        /// Image to remove.
        image_uuid: String => [path, refers("ImageVO"), owned, target];
        /// Backup storages to remove it from; all if absent.
        backup_storage_uuids: Vec<String> => [non_empty, refers("BackupStorageVO")];
        /// Same as `imageUuid`.
        uuid: Option<String> => [ignored];
    } -> job {}, rbac("image");

    /// Measure size and actual size of an image now.
    SyncImageSize: PUT "/images/{uuid}/actions" => "syncImageSize", cli "image sync-size" {
        /// Image to measure.
        uuid: String => [path, refers("ImageVO"), owned, target];
    } -> job ImageInventory, rbac("image");

    /// Say whether an image contains the guest agent. VMs made from it inherit it.
    SetImageQga: PUT "/images/{uuid}/actions" => "setImageQga", cli "image set-qga" {
        /// Image to change.
        uuid: String => [path, refers("ImageVO"), owned, target];
        /// True if it does.
        enable: bool => [required];
    } -> job {}, rbac("image");

    /// Show whether an image contains the guest agent.
    GetImageQga: GET "/images/{uuid}/qga", cli "image show-qga" {
        /// Image to look at.
        uuid: String => [path, refers("ImageVO"), owned, target];
    } -> sync { enable: "boolean" }, read("image");

    /// List images.
    QueryImage: GET "/images", cli "image list" {
    } -> query ImageInventory, also(&["/images/{uuid}"]), read("image");

    /// Show how far the upload of an image has come, so that it can be resumed.
    GetUploadImageJobDetails: GET "/images/upload-job/details/{imageId}", cli "image show-upload" {
        /// Image that is being uploaded.
        image_id: String => [path];
    } -> sync { success: "boolean", existingJobDetails: "UploadJobDetails" }, read("image");

    /// List the copies of images that hosts keep.
    QueryImageCache: GET "/cairn/image-caches", cli "image list-caches" {
    } -> query ImageCacheInventory, admin, ours;
}
