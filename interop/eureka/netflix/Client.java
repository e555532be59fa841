// Netflix's own client: registration, full and delta fetches, status changes, overrides, shutdown.

import com.netflix.appinfo.ApplicationInfoManager;
import com.netflix.appinfo.InstanceInfo;
import com.netflix.appinfo.InstanceInfo.InstanceStatus;
import com.netflix.appinfo.MyDataCenterInstanceConfig;
import com.netflix.appinfo.providers.EurekaConfigBasedInstanceInfoProvider;
import com.netflix.config.ConfigurationManager;
import com.netflix.discovery.DefaultEurekaClientConfig;
import com.netflix.discovery.DiscoveryClient;
import com.netflix.discovery.shared.Application;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.function.BooleanSupplier;

public class Client {
    static String url;

    static void check(String name, boolean condition, Object seen) {
        if (!condition) {
            System.out.println("not ok " + name + ": " + seen);
            System.exit(1);
        }
        System.out.println("ok " + name);
    }

    static void await(String name, BooleanSupplier condition) throws Exception {
        long end = System.nanoTime() + 30_000_000_000L;
        while (!condition.getAsBoolean() && System.nanoTime() < end) {
            Thread.sleep(50);
        }
        check(name, condition.getAsBoolean(), "not within 30 s");
    }

    static HttpResponse<String> send(String method, String path) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + path))
                .method(method, HttpRequest.BodyPublishers.noBody()).build();
        return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    }

    static InstanceInfo instance(DiscoveryClient client, String app) {
        Application application = client.getApplication(app);
        return application == null || application.getInstances().isEmpty() ? null : application.getInstances().get(0);
    }

    static DiscoveryClient start(String app, ApplicationInfoManager[] manager) {
        ConfigurationManager.getConfigInstance().setProperty("eureka.name", app);
        ConfigurationManager.getConfigInstance().setProperty("eureka.vipAddress", app);
        MyDataCenterInstanceConfig config = new MyDataCenterInstanceConfig() {
            @Override public String getAppname() { return app; }
            @Override public String getInstanceId() { return app + ":1"; }
            @Override public String getHostName(boolean refresh) { return "127.0.0.1"; }
            @Override public String getIpAddress() { return "127.0.0.1"; }
            @Override public int getLeaseRenewalIntervalInSeconds() { return 1; }
            @Override public int getLeaseExpirationDurationInSeconds() { return 3; }
            @Override public String getVirtualHostName() { return app; }
        };
        manager[0] = new ApplicationInfoManager(config, new EurekaConfigBasedInstanceInfoProvider(config).get());
        return new DiscoveryClient(manager[0], new DefaultEurekaClientConfig());
    }

    public static void main(String[] arguments) throws Exception {
        url = arguments[0];
        String[][] properties = {
            {"eureka.serviceUrl.default", url + "/"}, {"eureka.preferSameZone", "true"}, {"eureka.shouldUseDns", "false"},
            {"eureka.client.refresh.interval", "1"}, {"eureka.appinfo.replicate.interval", "1"},
            {"eureka.appinfo.initial.replicate.time", "0"}, {"eureka.region", "default"},
            {"eureka.shouldFilterOnlyUpInstances", "false"},
        };
        for (String[] property : properties) {
            ConfigurationManager.getConfigInstance().setProperty(property[0], property[1]);
        }
        ApplicationInfoManager[] manager = new ApplicationInfoManager[1], other = new ApplicationInfoManager[1];
        DiscoveryClient client = start("jv-orders", manager);
        await("registers as STARTING", () -> instance(client, "JV-ORDERS") != null);
        manager[0].setInstanceStatus(InstanceStatus.UP);
        await("is UP by its own word", () -> instance(client, "JV-ORDERS").getStatus() == InstanceStatus.UP);
        InstanceInfo seen = instance(client, "JV-ORDERS");
        check("lease", seen.getLeaseInfo().getDurationInSecs() == 3, seen.getLeaseInfo());
        check("instance id", seen.getInstanceId().equals("jv-orders:1"), seen);
        check("virtual address", client.getInstancesByVipAddress("jv-orders", false).size() == 1, seen.getVIPAddress());
        DiscoveryClient second = start("jv-stock", other);
        other[0].setInstanceStatus(InstanceStatus.UP);
        await("a delta adds another application", () -> instance(client, "JV-STOCK") != null
                && instance(client, "JV-STOCK").getStatus() == InstanceStatus.UP);
        String hash = client.getApplications().getReconcileHashCode();
        check("hash code agrees", hash.equals(client.getApplications().getAppsHashCode()), hash);
        check("override", send("PUT", "/apps/JV-STOCK/jv-stock:1/status?value=OUT_OF_SERVICE").statusCode() == 200, "");
        await("a delta modifies it", () -> instance(client, "JV-STOCK").getStatus() == InstanceStatus.OUT_OF_SERVICE);
        check("override taken back", send("DELETE", "/apps/JV-STOCK/jv-stock:1/status?value=UP").statusCode() == 200, "");
        await("a delta says so", () -> instance(client, "JV-STOCK").getStatus() == InstanceStatus.UP);
        send("PUT", "/apps/JV-STOCK/jv-stock:1/metadata?color=blue");
        await("metadata arrives", () -> "blue".equals(instance(client, "JV-STOCK").getMetadata().get("color")));
        send("DELETE", "/apps/JV-STOCK/jv-stock:1");
        await("and registers again", () -> instance(client, "JV-STOCK") != null);
        manager[0].setInstanceStatus(InstanceStatus.DOWN);
        await("says that it is down", () -> instance(client, "JV-ORDERS").getStatus() == InstanceStatus.DOWN);
        second.shutdown();
        await("shutdown deregisters", () -> instance(client, "JV-STOCK") == null);
        client.shutdown();
        check("nothing is left", send("GET", "/apps/JV-ORDERS").statusCode() == 404, "");
        System.exit(0);
    }
}
