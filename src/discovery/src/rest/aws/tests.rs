//! Each service of Amazon's cloud as its documentation shows it, and what may go wrong.

use prom_testkit::{Answer, FakeTarget};

use crate::rest::{
    RestAsker,
    tests::{TestAsker, asker_of, ends_a_hang, json, lines, survives},
};

const KEYS: &str = "region: eu-west-1, access_key: AK, secret_key: SK, port: 9100";

fn xml(body: &str) -> Answer {
    Answer::body("text/xml", &[], body.as_bytes())
}

async fn started(kind: &str, more: &str) -> (FakeTarget, TestAsker) {
    let service = FakeTarget::start().await;
    let asker = asker_of(&service, &format!("{kind}: [{{{KEYS}{more}}}]"));
    (service, asker)
}

/// One that waits for no answer longer than 50 ms.
fn hasty(service: &FakeTarget, kind: &str, more: &str) -> Box<dyn RestAsker> {
    asker_of(service, &format!("{kind}: [{{{KEYS}{more}, refresh_interval: 50ms}}]")).hasty
}

const ZONES: &str = "<DescribeAvailabilityZonesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><availabilityZoneInfo>\
    <item><zoneName>eu-west-1a</zoneName><zoneId>euw1-az3</zoneId></item></availabilityZoneInfo></DescribeAvailabilityZonesResponse>";
const INSTANCES: &str = r#"<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>x</requestId>
<reservationSet><item><reservationId>r-1</reservationId><ownerId>123456789012</ownerId><groupSet/><instancesSet>
<item><instanceId>i-1234567890abcdef0</instanceId><imageId>ami-bff32ccc</imageId>
<instanceState><code>16</code><name>running</name></instanceState><privateDnsName>ip-192-168-1-88.eu-west-1.compute.internal</privateDnsName>
<dnsName>ec2-54-194-252-215.eu-west-1.compute.amazonaws.com</dnsName><instanceType>t2.micro</instanceType>
<placement><availabilityZone>eu-west-1a</availabilityZone><groupName/><tenancy>default</tenancy></placement>
<subnetId>subnet-56f5f633</subnetId><vpcId>vpc-11112222</vpcId><privateIpAddress>192.168.1.88</privateIpAddress><ipAddress>54.194.252.215</ipAddress>
<architecture>x86_64</architecture><tagSet><item><key>Name</key><value>Server &amp; 1</value></item><item><key>a:b/c</key><value>d</value></item></tagSet>
<networkInterfaceSet>
<item><networkInterfaceId>eni-1</networkInterfaceId><subnetId>subnet-56f5f633</subnetId><attachment><deviceIndex>1</deviceIndex></attachment>
<ipv6AddressesSet><item><ipv6Address>2001:db8::1</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item><item><ipv6Address>2001:db8::2</ipv6Address><isPrimaryIpv6>false</isPrimaryIpv6></item></ipv6AddressesSet></item>
<item><subnetId>subnet-2</subnetId><attachment><deviceIndex>0</deviceIndex></attachment></item>
<item><subnetId>subnet-56f5f633</subnetId></item>
</networkInterfaceSet></item>
<item><instanceId>i-terminated</instanceId></item></instancesSet></item></reservationSet><nextToken>n+1</nextToken></DescribeInstancesResponse>"#;
const LAST: &str = "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-6</instanceId><vpcId>v</vpcId><platform>windows</platform><instanceLifecycle>spot</instanceLifecycle>\
    <networkInterfaceSet><item><subnetId>s</subnetId><ipv6AddressesSet><item><ipv6Address>2001:db8::6</ipv6Address></item></ipv6AddressesSet></item></networkInterfaceSet></item></instancesSet></item></reservationSet></DescribeInstancesResponse>";

#[tokio::test]
async fn instances_of_ec2_are_targets() {
    let more = ", filters: [{name: 'tag:env', values: [prod, stage]}]";
    let (service, mut asker) = started("ec2_sd_configs", more).await;
    service.answer_in_turn("/", &[xml(ZONES), xml(INSTANCES), xml(LAST)]);
    let found = asker.ask().await.unwrap();
    assert_eq!(&*found[0].source, "eu-west-1");
    assert_eq!(
        lines(&found, "__meta_ec2_"),
        [
            "__address__=192.168.1.88:9100 ami=ami-bff32ccc architecture=x86_64 availability_zone=eu-west-1a \
             availability_zone_id=euw1-az3 default_ipv6_address=2001:db8::1 instance_id=i-1234567890abcdef0 \
             instance_state=running instance_type=t2.micro ipv6_addresses=,2001:db8::1,2001:db8::2, \
             owner_id=123456789012 primary_ipv6_addresses=,,2001:db8::1, primary_subnet_id=subnet-56f5f633 \
             private_dns_name=ip-192-168-1-88.eu-west-1.compute.internal private_ip=192.168.1.88 \
             public_dns_name=ec2-54-194-252-215.eu-west-1.compute.amazonaws.com public_ip=54.194.252.215 \
             region=eu-west-1 subnet_id=,subnet-56f5f633,subnet-2, tag_Name=Server & 1 tag_a_b_c=d vpc_id=vpc-11112222",
            "__address__=[2001:db8::6]:9100 default_ipv6_address=2001:db8::6 instance_id=i-6 instance_lifecycle=spot \
             ipv6_addresses=,2001:db8::6, platform=windows region=eu-west-1 subnet_id=,s, vpc_id=v",
        ]
    );
    let requests = service.requests();
    let form = |at: usize| requests[at].split("\r\n\r\n").nth(1).unwrap().to_owned();
    assert_eq!(form(0), "Action=DescribeAvailabilityZones&Version=2016-11-15");
    assert_eq!(
        form(2),
        "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag%3Aenv&Filter.1.Value.1=prod&Filter.1.Value.2=stage&MaxResults=1000&NextToken=n%2B1"
    );
    let head = &requests[1];
    assert!(
        head.contains("Credential=AK/") && head.contains("/eu-west-1/ec2/aws4_request"),
        "{head}"
    );
    assert!(head.contains("SignedHeaders=content-type;host;x-amz-date, "), "{head}");
    // Zones are asked for once.
    service.answer_in_turn("/", &[xml(LAST)]);
    assert_eq!(asker.ask().await.unwrap()[0].targets.len(), 1);
    assert_eq!(service.requests().len(), 4);
}

#[tokio::test]
async fn refusals_of_ec2_are_told_in_the_words_of_the_service() {
    let (service, mut asker) = started("ec2_sd_configs", "").await;
    let refusal = |status: &str, code: &str| {
        let body = format!(
            "<?xml version=\"1.0\"?><Response><Errors><Error><Code>{code}</Code><Message>no &lt;way&gt;</Message></Error></Errors><RequestID>r</RequestID></Response>"
        );
        let size = body.len();
        Answer::Bytes(format!("HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n{body}").into())
    };
    let failed = "could not describe instances: operation error EC2: DescribeInstances, https response error StatusCode: ";
    for (answer, expected, is_throttled) in [
        (refusal("401 Unauthorized", "AuthFailure"), "401, api error AuthFailure: no <way>", false),
        (
            refusal("403 Forbidden", "UnauthorizedOperation"),
            "403, api error UnauthorizedOperation: no <way>",
            false,
        ),
        (
            refusal("503 Service Unavailable", "RequestLimitExceeded"),
            "503, api error RequestLimitExceeded: no <way>",
            true,
        ),
        (refusal("400 Bad", "Throttling"), "400, api error Throttling: no <way>", true),
        (Answer::status("500 Internal Server Error"), "500", false),
    ] {
        service.answer("/", answer);
        let error = asker.ask().await.unwrap_err();
        assert_eq!(error.message, format!("{failed}{expected}"));
        assert_eq!(error.is_throttled, is_throttled, "{expected}");
    }
    for (answer, expected) in [
        (xml(""), "EOF"),
        (xml("<a><b>"), "EOF"),
        (json("{}"), "EOF"),
        (xml("<a>&x;</a>"), "invalid character entity"),
        (xml("<r><nextToken>same</nextToken></r>"), "the service names the same page again"),
        (Answer::Reset, "connection reset"),
    ] {
        service.answer("/", answer);
        let error = asker.ask().await.unwrap_err().message;
        assert!(error.contains(expected), "{error}");
    }
    ends_a_hang(&service, &mut *hasty(&service, "ec2_sd_configs", ""), "/").await;
}

#[tokio::test]
async fn instances_of_lightsail_are_targets_on_all_pages() {
    let (service, mut asker) = started("lightsail_sd_configs", "").await;
    let first = r#"{"instances": [{"name": "WordPress-1", "arn": "a", "supportCode": "6EXAMPLE/i-0a", "createdAt": 1.5e9,
        "location": {"availabilityZone": "eu-west-1a", "regionName": "eu-west-1"}, "resourceType": "Instance",
        "tags": [{"key": "k-1", "value": "v"}, {"key": "only"}], "blueprintId": "wordpress", "bundleId": "nano_1_0",
        "isStaticIp": true, "privateIpAddress": "192.0.2.0", "publicIpAddress": "203.0.113.0",
        "ipv6Addresses": ["2001:db8::1", "2001:db8::2"], "state": {"code": 16, "name": "running"}}, {"name": "no address"}],
        "nextPageToken": "p2"}"#;
    let last = r#"{"instances": [{"privateIpAddress": "192.0.2.9"}]}"#;
    service.answer_in_turn("/", &[json(first), json(last)]);
    let found = asker.ask().await.unwrap();
    assert_eq!(
        lines(&found, "__meta_lightsail_"),
        [
            "__address__=192.0.2.0:9100 availability_zone=eu-west-1a blueprint_id=wordpress bundle_id=nano_1_0 \
             instance_name=WordPress-1 instance_state=running instance_support_code=6EXAMPLE/i-0a \
             ipv6_addresses=,2001:db8::1,2001:db8::2, private_ip=192.0.2.0 public_ip=203.0.113.0 region=eu-west-1 tag_k_1=v",
            "__address__=192.0.2.9:9100 private_ip=192.0.2.9 region=eu-west-1",
        ]
    );
    let requests = service.requests();
    assert!(requests[0].contains("x-amz-target: Lightsail_20161128.GetInstances\r\n"));
    assert!(requests[0].contains("content-type: application/x-amz-json-1.1\r\n"));
    assert!(requests[1].ends_with(r#"{"pageToken":"p2"}"#));
    let (service, mut asker) = started("aws_sd_configs", ", role: lightsail").await;
    survives(&service, &mut *asker, "/").await;
    ends_a_hang(&service, &mut *hasty(&service, "aws_sd_configs", ", role: lightsail"), "/").await;
    let denied = r#"{"__type": "com.amazonaws#AccessDeniedException", "message": "not you"}"#;
    let size = denied.len();
    let refused = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {size}\r\n\r\n{denied}");
    service.answer("/", Answer::Bytes(refused.into_bytes()));
    assert_eq!(
        asker.ask().await.unwrap_err().message,
        "could not get instances: operation error Lightsail: GetInstances, https response error StatusCode: 400, api error AccessDeniedException: not you"
    );
}

#[tokio::test]
async fn tasks_of_ecs_are_targets() {
    let (service, mut asker) = started("ecs_sd_configs", "").await;
    let tasks = r#"{"tasks": [
        {"taskArn": "t1", "taskDefinitionArn": "d:1", "group": "service:web", "launchType": "FARGATE", "healthStatus": "HEALTHY",
         "lastStatus": "RUNNING", "desiredStatus": "RUNNING", "availabilityZone": "eu-west-1a", "platformFamily": "Linux", "platformVersion": "1.4.0",
         "attachments": [{"type": "ElasticNetworkInterface", "details": [{"name": "subnetId", "value": "sub"}, {"name": "networkInterfaceId", "value": "eni-1"}, {"name": "privateIPv4Address", "value": "10.0.0.1"}]}],
         "tags": [{"key": "t", "value": "1"}]},
        {"taskArn": "t2", "group": "family:x", "launchType": "EC2", "healthStatus": "UNKNOWN", "containerInstanceArn": "ci", "attachments": []},
        {"taskArn": "t3", "launchType": "EC2", "attachments": []}]}"#;
    service.answer_in_turn(
        "/",
        &[
            json(r#"{"clusterArns": ["c1"]}"#),
            json(r#"{"clusters": [{"clusterArn": "c1", "clusterName": "prod", "tags": [{"key": "c", "value": "2"}]}]}"#),
            json(r#"{"taskArns": ["t1"], "nextToken": "more"}"#),
            json(r#"{"taskArns": ["t2", "t3"]}"#),
            json(tasks),
            json(r#"{"serviceArns": ["s1"]}"#),
            json(r#"{"services": [{"serviceArn": "s1", "serviceName": "web", "status": "ACTIVE", "tags": [{"key": "s", "value": "3"}]}]}"#),
            json(r#"{"containerInstances": [{"containerInstanceArn": "ci", "ec2InstanceId": "i-1"}]}"#),
            xml("<R><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId><privateIpAddress>10.0.0.2</privateIpAddress><ipAddress>192.0.2.2</ipAddress><subnetId>sub2</subnetId><instanceType>m5</instanceType><tagSet><item><key>e</key><value>4</value></item></tagSet></item></instancesSet></item></reservationSet></R>"),
            xml("<R><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId><association><publicIp>192.0.2.1</publicIp></association></item></networkInterfaceSet></R>"),
        ],
    );
    let found = asker.ask().await.unwrap();
    assert_eq!(
        lines(&found, "__meta_ecs_"),
        [
            "__address__=10.0.0.1:9100 availability_zone=eu-west-1a cluster=prod cluster_arn=c1 desired_status=RUNNING \
             health_status=HEALTHY ip_address=10.0.0.1 last_status=RUNNING launch_type=FARGATE network_mode=awsvpc \
             platform_family=Linux platform_version=1.4.0 public_ip=192.0.2.1 region=eu-west-1 service=web service_arn=s1 \
             service_status=ACTIVE subnet_id=sub tag_cluster_c=2 tag_service_s=3 tag_task_t=1 task_arn=t1 \
             task_definition=d:1 task_group=service:web",
            "__address__=10.0.0.2:9100 cluster=prod cluster_arn=c1 container_instance_arn=ci ec2_instance_id=i-1 \
             ec2_instance_private_ip=10.0.0.2 ec2_instance_public_ip=192.0.2.2 ec2_instance_type=m5 \
             health_status=UNKNOWN ip_address=10.0.0.2 launch_type=EC2 network_mode=bridge public_ip=192.0.2.2 \
             region=eu-west-1 subnet_id=sub2 tag_cluster_c=2 tag_ec2_e=4 task_arn=t2 task_group=family:x",
        ]
    );
    let requests = service.requests();
    assert!(requests[3].ends_with(r#"{"cluster":"c1","maxResults":100,"nextToken":"more"}"#));
    assert!(requests[8].contains("InstanceId.1=i-1") && requests[8].contains("/ec2/aws4_request"));
    let (service, mut asker) = started("aws_sd_configs", ", role: ecs").await;
    survives(&service, &mut *asker, "/").await;
    ends_a_hang(&service, &mut *hasty(&service, "aws_sd_configs", ", role: ecs"), "/").await;
}

#[tokio::test]
async fn nodes_of_kafka_clusters_are_targets() {
    let (service, mut asker) = started("msk_sd_configs", "").await;
    let cluster = r#"{"clusterArn": "arn:aws:kafka:x/1", "clusterName": "logs", "clusterType": "PROVISIONED", "state": "ACTIVE", "currentVersion": "K3",
        "tags": {"team-a": "b"}, "provisioned": {"currentBrokerSoftwareInfo": {"kafkaVersion": "3.6.0", "configurationArn": "ca", "configurationRevision": 2},
        "openMonitoring": {"prometheus": {"jmxExporter": {"enabledInBroker": true}, "nodeExporter": {"enabledInBroker": false}}}}}"#;
    let listing = "/api/v2/clusters?clusterTypeFilter=PROVISIONED&maxResults=100";
    service.answer(listing, json(r#"{"clusterInfoList": [], "nextToken": "t/1"}"#));
    service.answer(
        &format!("{listing}&nextToken=t%2F1"),
        json(&format!(r#"{{"clusterInfoList": [{cluster}]}}"#)),
    );
    let nodes = r#"{"nodeInfoList": [
        {"nodeARN": "n1", "nodeType": "BROKER", "addedToClusterTime": "2026-01-02T03:04:05Z", "instanceType": "m5.large",
         "brokerNodeInfo": {"attachedENIId": "eni", "brokerId": 1.0, "clientSubnet": "s", "clientVpcIpAddress": "10.0.0.1", "endpoints": ["b-1.x", "b-1.y"]}},
        {"nodeARN": "n2", "controllerNodeInfo": {"endpoints": ["c-1.x"]}}]}"#;
    let nodes_path = "/v1/clusters/arn%3Aaws%3Akafka%3Ax%2F1/nodes?maxResults=100";
    service.answer(nodes_path, json(nodes));
    let found = asker.ask().await.unwrap();
    let common = "cluster_arn=arn:aws:kafka:x/1 cluster_configuration_arn=ca cluster_configuration_revision=2 \
        cluster_jmx_exporter_enabled=true cluster_kafka_version=3.6.0 cluster_name=logs cluster_state=ACTIVE \
        cluster_tag_team_a=b cluster_type=PROVISIONED cluster_version=K3";
    let broker = |index: u8, host: &str| {
        format!(
            "__address__={host}:9100 broker_client_subnet=s broker_client_vpc_ip=10.0.0.1 broker_endpoint_index={index} broker_id=1 \
             broker_node_exporter_enabled=false {common} node_added_time=2026-01-02T03:04:05Z node_arn=n1 node_attached_eni=eni \
             node_instance_type=m5.large node_type=BROKER"
        )
    };
    let controller = format!(
        "__address__=c-1.x:9100 {common} controller_endpoint_index=0 node_arn=n2 node_type=CONTROLLER"
    );
    let expected = [broker(0, "b-1.x"), broker(1, "b-1.y"), controller];
    assert_eq!(lines(&found, "__meta_msk_"), expected);
    // Named clusters are described; those without brokers are left out.
    let more = ", role: msk, clusters: ['arn:aws:kafka:x/1', other]";
    let mut named = asker_of(&service, &format!("aws_sd_configs: [{{{KEYS}{more}}}]"));
    let path = "/api/v2/clusters/arn%3Aaws%3Akafka%3Ax%2F1";
    service.answer(path, json(&format!(r#"{{"clusterInfo": {cluster}}}"#)));
    service.answer(
        "/api/v2/clusters/other",
        json(r#"{"clusterInfo": {"clusterType": "SERVERLESS"}}"#),
    );
    assert_eq!(lines(&named.ask().await.unwrap(), "__meta_msk_"), expected);
    survives(&service, &mut *named, path).await;
    ends_a_hang(&service, &mut *hasty(&service, "aws_sd_configs", more), path).await;
}

#[tokio::test]
async fn instances_of_database_clusters_are_targets() {
    let (service, mut asker) =
        started("rds_sd_configs", ", filters: [{name: engine, values: [a]}]").await;
    let cluster = "<DBCluster><DBClusterArn>arn:c</DBClusterArn><DBClusterIdentifier>c</DBClusterIdentifier><AllocatedStorage>1</AllocatedStorage><ClusterCreateTime>2026-01-02T03:04:05.678Z</ClusterCreateTime>\
        <DBSubnetGroup>g</DBSubnetGroup><Endpoint>c.cluster.x</Endpoint><MultiAZ>true</MultiAZ><Engine>aurora-mysql</Engine><Port>3306</Port>\
        <DBClusterMembers><DBClusterMember><DBInstanceIdentifier>i1</DBInstanceIdentifier><IsClusterWriter>true</IsClusterWriter></DBClusterMember></DBClusterMembers>\
        <TagList><Tag><Key>a-b</Key><Value>c</Value></Tag></TagList></DBCluster>";
    let clusters = format!(
        "<DescribeDBClustersResponse xmlns='http://rds.amazonaws.com/doc/2014-10-31/'><DescribeDBClustersResult><DBClusters>{cluster}</DBClusters></DescribeDBClustersResult></DescribeDBClustersResponse>"
    );
    let instances = |instance: &str, marker: &str| {
        xml(&format!(
            "<DescribeDBInstancesResponse><DescribeDBInstancesResult>{marker}<DBInstances>{instance}</DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>"
        ))
    };
    let first = "<DBInstance><DBInstanceIdentifier>i1</DBInstanceIdentifier><DBInstanceClass>db.r5</DBInstanceClass><Endpoint><Address>i1.x</Address><Port>3306</Port><HostedZoneId>Z</HostedZoneId></Endpoint>\
        <DBSubnetGroup><DBSubnetGroupName>g</DBSubnetGroupName></DBSubnetGroup><TagList><Tag><Key>k</Key><Value>v</Value></Tag></TagList><DbiResourceId>db-1</DbiResourceId></DBInstance>";
    let last = "<DBInstance><DBInstanceIdentifier>i2</DBInstanceIdentifier></DBInstance>";
    let in_turn = [xml(&clusters), instances(first, "<Marker>m1</Marker>"), instances(last, "")];
    service.answer_in_turn("/", &in_turn);
    let found = asker.ask().await.unwrap();
    let of_cluster = "cluster_allocated_storage=1 cluster_arn=arn:c cluster_cluster_create_time=2026-01-02T03:04:05Z \
        cluster_endpoint=c.cluster.x cluster_engine=aurora-mysql cluster_identifier=c cluster_multi_az=true cluster_port=3306 \
        cluster_subnet_group=g cluster_tag_a_b=c";
    assert_eq!(
        lines(&found, "__meta_rds_"),
        [
            format!(
                "__address__=i1.x:9100 {of_cluster} instance_class=db.r5 instance_endpoint_address=i1.x instance_endpoint_hosted_zone_id=Z \
                 instance_endpoint_port=3306 instance_identifier=i1 instance_is_cluster_writer=true instance_resource_id=db-1 \
                 instance_subnet_group=g instance_tag_k=v"
            ),
            format!("{of_cluster} instance_identifier=i2"),
        ]
    );
    let asked = service.requests()[2].split("\r\n\r\n").nth(1).unwrap().to_owned();
    assert_eq!(
        asked,
        "Action=DescribeDBInstances&Version=2014-10-31&MaxRecords=100&Filters.Filter.1.Name=db-cluster-id&Filters.Filter.1.Values.Value.1=arn%3Ac&Filters.Filter.2.Name=engine&Filters.Filter.2.Values.Value.1=a&Marker=m1"
    );
    let mut named = asker_of(&service, &format!("rds_sd_configs: [{{{KEYS}, clusters: [gone]}}]"));
    service.answer(
        "/",
        xml("<R><DescribeDBClustersResult><DBClusters/></DescribeDBClustersResult></R>"),
    );
    assert_eq!(
        named.ask().await.unwrap_err().message,
        "error describing DB clusters: no DB cluster found for ARN gone"
    );
}

#[tokio::test]
async fn caches_are_targets() {
    let (service, mut asker) = started("elasticache_sd_configs", "").await;
    let serverless = "<R><DescribeServerlessCachesResult><ServerlessCaches><member><ARN>arn:s</ARN><ServerlessCacheName>s</ServerlessCacheName><CreateTime>2026-01-02T03:04:05Z</CreateTime>\
        <Endpoint><Address>s.x</Address><Port>6379</Port></Endpoint><SecurityGroupIds><SecurityGroupId>sg-0</SecurityGroupId><SecurityGroupId>sg-1</SecurityGroupId></SecurityGroupIds><SubnetIds><SubnetId>sn</SubnetId></SubnetIds>\
        <CacheUsageLimits><DataStorage><Maximum>10</Maximum><Unit>GB</Unit></DataStorage></CacheUsageLimits></member></ServerlessCaches></DescribeServerlessCachesResult></R>";
    let tags = "<R><ListTagsForResourceResult><TagList><Tag><Key>a.b</Key><Value>c</Value></Tag></TagList></ListTagsForResourceResult></R>";
    let none = "<R><DescribeCacheClustersResult><CacheClusters/></DescribeCacheClustersResult></R>";
    let clusters = "<R><DescribeCacheClustersResult><CacheClusters><CacheCluster><ARN>arn:n</ARN><CacheClusterId>n</CacheClusterId><Engine>redis</Engine>\
        <SecurityGroups><member><SecurityGroupId>sg</SecurityGroupId><Status>active</Status></member></SecurityGroups>\
        <PendingModifiedValues><CacheNodeIdsToRemove><CacheNodeId>0003</CacheNodeId><CacheNodeId>0004</CacheNodeId></CacheNodeIdsToRemove></PendingModifiedValues>\
        <LogDeliveryConfigurations><LogDeliveryConfiguration><LogType>slow-log</LogType><DestinationDetails><CloudWatchLogsDetails><LogGroup>lg</LogGroup></CloudWatchLogsDetails></DestinationDetails></LogDeliveryConfiguration></LogDeliveryConfigurations>\
        <CacheNodes><CacheNode><CacheNodeId>0001</CacheNodeId><Endpoint><Address>n1.x</Address><Port>6380</Port></Endpoint></CacheNode><CacheNode><CacheNodeId>0002</CacheNodeId></CacheNode></CacheNodes>\
        </CacheCluster></CacheClusters></DescribeCacheClustersResult></R>";
    service.answer_in_turn("/", &[xml(serverless), xml(tags), xml(none), xml(clusters), xml(tags)]);
    let found = asker.ask().await.unwrap();
    let of_cluster = "cache_cluster_arn=arn:n cache_cluster_cache_cluster_id=n cache_cluster_engine=redis \
        cache_cluster_log_delivery_configuration_log_group_0=lg cache_cluster_log_delivery_configuration_log_type_0=slow-log";
    let more = "cache_cluster_pending_modified_values_cache_node_ids_to_remove=0003,0004 \
        cache_cluster_security_group_membership_id_0=sg cache_cluster_security_group_membership_status_0=active \
        cache_cluster_tag_a_b=c deployment_option=node";
    assert_eq!(
        lines(&found, "__meta_elasticache_"),
        [
            "__address__=s.x:6379 deployment_option=serverless serverless_cache_arn=arn:s \
             serverless_cache_cache_usage_limit_data_storagemaximum=10 serverless_cache_cache_usage_limit_data_storageunit=GB \
             serverless_cache_create_time=2026-01-02T03:04:05Z serverless_cache_endpoint_address=s.x serverless_cache_endpoint_port=6379 \
             serverless_cache_name=s serverless_cache_security_group_id_0=sg-0 serverless_cache_security_group_id_1=sg-1 \
             serverless_cache_subnet_id_0=sn serverless_cache_tag_a_b=c"
                .to_owned(),
            format!(
                "__address__=n1.x:6380 {of_cluster} cache_cluster_node_endpoint_address=n1.x cache_cluster_node_endpoint_port=6380 \
                 cache_cluster_node_id=0001 {more}"
            ),
            format!("{of_cluster} cache_cluster_node_id=0002 {more}"),
        ]
    );
}
